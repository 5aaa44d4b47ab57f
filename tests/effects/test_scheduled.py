"""Effects in a chain whose settings follow schedules."""

from fractions import Fraction

import pytest
import torch

from streamfx.animation.schedule import parse_schedule
from streamfx.chain import build_chain, chain_text
from streamfx.effects import EFFECTS
from streamfx.effects.scheduled import Adjustable, with_schedules
from streamfx.effects.style import Style
from streamfx.effects.trails import Trails
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.settings import settings

CPU = torch.device("cpu")
RATE = Fraction(10)
QUICK = {"dream": "layer=block2:octaves=1:steps=1", "style": "quality=fast"}
RANGES = {  # two values of each schedulable setting that give different images
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
    ("style", "blend_share"): (0.2, 1),
    ("style", "working"): (0.05, 0.1),
    ("trails", "decay"): (0.2, 0.8),
    ("timeslice", "frames"): (2, 4),
}


def frames(count, size=(40, 48)):
    generator = torch.Generator().manual_seed(1)
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 7, generator=generator), size=size, mode="bicubic")[0]
    return [Frame(image.roll(3 * n, 2).clamp(0, 1), n / RATE, 1 / RATE, cut=n == 0) for n in range(count)]


def run(chain, inputs, memory=None):
    (effect,) = build_chain(chain)
    step, memory = effect.build(CPU), {} if memory is None else memory
    return [output.image for frame in inputs for output in step(frame, memory)]


def test_all_schedulable_settings_are_tested():
    assert set(RANGES) == {(name, s.name) for name, kind in EFFECTS.items() for s in settings(kind) if s.schedulable}


@pytest.mark.parametrize(("name", "setting"), RANGES)
def test_settings_follow_their_schedules(name, setting):
    low, high = RANGES[name, setting]
    rest = {"iterations": "method=optimise", "blend_share": "blend=munch"}.get(setting, QUICK.get(name, ""))
    if setting in ("octave_scale", "smooth"):
        rest = rest.replace("octaves=1", "octaves=2")
    rest = ":".join(part for part in rest.split(":") if not part.startswith(f"{setting}="))
    chain = f"{name}={rest}:{setting}={low}" if rest else f"{name}={setting}={low}"
    needs_large_frames = setting in ("stroke", "working", "octaves", "tile")
    inputs = frames(4, (176, 256) if needs_large_frames else (40, 48))
    constant = run(chain, inputs)
    scheduled = run(chain.replace(f"{setting}={low}", rf"{setting}='0\:({low} + 0*t), 2\:({high})'"), inputs)
    for expected, image in zip(constant[:2], scheduled[:2], strict=True):
        assert torch.equal(expected, image)
    assert not torch.equal(constant[3], scheduled[3])


def test_values_belong_to_the_frame():
    inputs = frames(6)
    images = run(r"style=strength='0\:(0), 5\:(1)':coherence=off:quality=fast", inputs)
    (stylized,) = Style(coherence="off", quality="fast").build(CPU)(inputs[3], {})
    assert torch.allclose(images[3], inputs[3].image.lerp(stylized.image, 0.6), atol=1e-6)
    assert torch.equal(images[0], inputs[0].image)


def test_times_in_seconds_use_the_frame_rate():
    inputs = frames(12)
    images = run(r"trails=decay='0\:(0 + 0*t), 1s\:(1 - 0*fps)'", inputs)
    assert torch.equal(images[9], inputs[9].image)
    assert torch.equal(images[10], images[9])  # decay is 1 from frame 10


def test_a_resumed_run_continues_the_schedule():
    chain, inputs = r"trails=decay='0\:(0.1), 7\:(0.9)'", frames(8)
    whole, memory = run(chain, inputs), {}
    parts = run(chain, inputs[:3], memory) + run(chain, inputs[3:], dict(memory))
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_cuts_do_not_restart_a_schedule():
    inputs = [Frame(frame.image, frame.pts, frame.duration, cut=True) for frame in frames(4)]
    images = run(r"style=strength='0\:(1), 3\:(0)':quality=fast", inputs)
    assert torch.equal(images[3], inputs[3].image)


def test_chains_with_schedules_survive_a_round_trip_through_text():
    chain = build_chain(r"hflip,trails=decay='0\:(0), 20\:(0.9)'")
    assert build_chain(chain_text(chain)) == chain
    assert isinstance(chain[1], Trails)
    assert chain != build_chain("hflip,trails=decay=0")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("trails=decay='(max_f/100)'", "uses 'max_f', but schedules in a chain may use only t, s and fps"),
        ("style=strength='(beat)'", "uses 'beat'"),
        (r"trails=decay='0\:(sin(t)'", "trails, decay, character 3"),
        ("trails=decay='(1.5)'", "decay is 1.5, but must be a number from 0 to 1"),
        ("trails=decay='(1/0)'", "at frame 0"),
        ("style=passes='(9)'", "passes is '\\(9\\)', but must be a whole number"),
        ("style=preset='(t)'", "there is no preset|unknown preset|no preset"),
    ],
)
def test_invalid_schedules_are_errors(text, reason):
    with pytest.raises(StreamfxError, match=reason):
        build_chain(text)[0].build(CPU)


def test_out_of_range_values_name_the_frame():
    with pytest.raises(StreamfxError, match=r"decay is 1\.5, but must be a number from 0 to 1, at frame 3"):
        run("trails=decay='(t/2)'", frames(5))


def test_adjust_changes_numbers_in_place_and_checks_them():
    step = Adjustable(Trails(decay=0.5), CPU)
    step.adjust({"decay": 0.75})
    assert step.effect == Trails(decay=0.75)
    with pytest.raises(StreamfxError, match="decay"):
        step.adjust({"decay": 7.0})
    assert step.effect == Trails(decay=0.75)


def test_an_adjusted_number_leaves_its_schedule():
    effect = with_schedules(Trails, {}, {"decay": parse_schedule("0:(0), 50:(0.5)")})
    step = Adjustable(effect, CPU)
    step.adjust({"decay": 0.9})
    memory = {}
    list(step(Frame(torch.zeros(3, 4, 4), Fraction(0), Fraction(1, 25)), memory))
    assert step.effect.decay == 0.9
    assert effect.decay == 0  # the description of the effect does not change


def test_schedules_read_live_audio():
    loud = {"rms": 0.0}
    effect = with_schedules(Trails, {}, {"decay": parse_schedule("0.5*rms")}, ["rms"])
    step = Adjustable(effect, CPU, lambda: loud)
    memory = {}
    for number, level in enumerate((0.0, 1.0, 0.5)):
        loud["rms"] = level
        list(step(Frame(torch.zeros(3, 4, 4), Fraction(number, 25), Fraction(1, 25)), memory))
        assert step.effect.decay == 0.5 * level
