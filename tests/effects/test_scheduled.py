"""Settings of effects in a chain that change from frame to frame."""

from fractions import Fraction

import pytest
import torch

from streamfx.chain import build_chain, chain_text
from streamfx.effects import EFFECTS
from streamfx.effects.style import Style
from streamfx.effects.trails import Trails
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.settings import settings

CPU = torch.device("cpu")
RATE = Fraction(10)
QUICK = {"dream": "layer=block2:octaves=1:steps=1", "style": "quality=fast"}
RANGES = {  # of each number that may change, where both show
    ("dream", "octaves"): (1, 2),
    ("dream", "steps"): (1, 3),
    ("dream", "tile"): (4096, 128),
    ("dream", "seed"): (1, 2),
    ("style", "iterations"): (1, 3),
    ("dream", "strength"): (0.5, 2),
    ("dream", "octave_scale"): (1.2, 2),
    ("dream", "step"): (0.01, 0.1),
    ("dream", "smooth"): (0, 1),
    ("dream", "blend"): (0, 0.9),
    ("style", "strength"): (0.2, 1),
    ("style", "detail"): (0.2, 1),
    ("style", "stroke"): (1.7, 2),
    ("trails", "decay"): (0.2, 0.8),
    ("timeslice", "frames"): (2, 4),
}


def frames(count, size=(40, 48)):
    chance = torch.Generator().manual_seed(1)
    ground = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 7, generator=chance), size=size, mode="bicubic")[0]
    return [Frame(ground.roll(3 * n, 2).clamp(0, 1), n / RATE, 1 / RATE, cut=n == 0) for n in range(count)]


def run(chain, given, memory=None):
    (effect,) = build_chain(chain)
    step, memory = effect.build(CPU), {} if memory is None else memory
    return [made.image for each in given for made in step(each, memory)]


def test_every_number_that_may_change_is_tried():
    numbers = {(name, each.name) for name, kind in EFFECTS.items() for each in settings(kind) if each.schedulable}
    assert set(RANGES) == numbers


@pytest.mark.parametrize(("name", "number"), RANGES)
def test_each_number_changes_when_its_schedule_says_so(name, number):
    low, high = RANGES[name, number]
    rest = "method=optimise" if number == "iterations" else QUICK.get(name, "")
    if number in ("octave_scale", "smooth"):
        rest = rest.replace("octaves=1", "octaves=2")
    rest = ":".join(each for each in rest.split(":") if not each.startswith(f"{number}="))
    steady = f"{name}={rest}:{number}={low}" if rest else f"{name}={number}={low}"
    large = number in ("stroke", "octaves", "tile")  # for which smaller ones have no room
    given = frames(4, (176, 256) if large else (40, 48))
    constant = run(steady, given)
    changing = run(steady.replace(f"{number}={low}", rf"{number}='0\:({low} + 0*t), 2\:({high})'"), given)
    for before, after in zip(constant[:2], changing[:2], strict=True):
        assert torch.equal(before, after)
    assert not torch.equal(constant[3], changing[3])


def test_values_are_those_of_the_frame():
    given = frames(6)
    made = run(r"style=strength='0\:(0), 5\:(1)':coherence=off:quality=fast", given)
    (whole,) = Style(coherence="off", quality="fast").build(CPU)(given[3], {})
    assert torch.allclose(made[3], given[3].image.lerp(whole.image, 0.6), atol=1e-6)
    assert torch.equal(made[0], given[0].image)


def test_seconds_and_the_rate():
    given = frames(12)
    made = run(r"trails=decay='0\:(0 + 0*t), 1s\:(1 - 0*fps)'", given)
    assert torch.equal(made[9], given[9].image)
    assert torch.equal(made[10], made[9])  # from the tenth on nothing new is let in


def test_a_run_that_is_stopped_goes_on_with_the_schedule():
    chain, given = r"trails=decay='0\:(0.1), 7\:(0.9)'", frames(8)
    whole, memory = run(chain, given), {}
    parts = run(chain, given[:3], memory) + run(chain, given[3:], dict(memory))
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_cuts_do_not_begin_a_schedule_anew():
    given = [Frame(each.image, each.pts, each.duration, cut=True) for each in frames(4)]
    made = run(r"style=strength='0\:(1), 3\:(0)':quality=fast", given)
    assert torch.equal(made[3], given[3].image)


def test_as_text_and_back():
    chain = build_chain(r"hflip,trails=decay='0\:(0), 20\:(0.9)'")
    assert build_chain(chain_text(chain)) == chain
    assert isinstance(chain[1], Trails)
    assert chain != build_chain("hflip,trails=decay=0")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("trails=decay='(max_f/100)'", "speaks of 'max_f', but schedules in a chain know only t, s and fps"),
        ("style=strength='(beat)'", "speaks of 'beat'"),
        (r"trails=decay='0\:(sin(t)'", "trails, decay, character 3"),
        ("trails=decay='(1.5)'", "decay is 1.5, but must be a number from 0 to 1"),
        ("trails=decay='(1/0)'", "at frame 0"),
        ("style=passes='(9)'", "passes is '\\(9\\)', but must be a whole number"),
        ("style=preset='(t)'", "there is no preset|unknown preset|no preset"),
    ],
)
def test_mistakes(text, reason):
    with pytest.raises(StreamfxError, match=reason):
        build_chain(text)[0].build(CPU)


def test_a_value_out_of_range_later_on():
    with pytest.raises(StreamfxError, match=r"decay is 1\.5, but must be a number from 0 to 1, at frame 3"):
        run("trails=decay='(t/2)'", frames(5))
