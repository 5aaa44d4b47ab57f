"""What every effect must keep to."""

from fractions import Fraction

import pytest
import torch

from streamfx.effects import EFFECTS
from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.settings import settings

CPU = torch.device("cpu")
HEIGHT, WIDTH = 48, 64


@pytest.fixture(params=EFFECTS)
def effect(request):
    return EFFECTS[request.param]()


def clip(count=6, cuts=(), alpha=False):
    """Frames of a bar that moves over a coloured ground; times of a variable rate."""
    frames = []
    for i in range(count):
        image = torch.linspace(0, 1, WIDTH).expand(3, HEIGHT, WIDTH) * torch.tensor([1.0, 0.6, 0.3]).view(3, 1, 1)
        image[:, :, i * 8 : i * 8 + 8] = 1.0
        veil = torch.linspace(0, 1, HEIGHT).view(1, -1, 1).expand(1, HEIGHT, WIDTH) if alpha else None
        pts = Fraction(i * 1001, 30000) + (Fraction(1, 7) if i > 2 else 0)
        frames.append(Frame(image.contiguous(), pts, Fraction(1001, 30000), i in cuts, veil))
    return frames


def run(effect, frames, memory=None):
    memory = {} if memory is None else memory
    step = effect.build(CPU)
    return [out for frame in [*frames, None] for out in step(frame, memory)]


def same(first, second):
    times = [[(f.pts, f.duration, f.cut) for f in frames] for frames in (first, second)]
    return times[0] == times[1] and all(torch.equal(a.image, b.image) for a, b in zip(first, second))


def test_pictures_keep_shape_dtype_and_range(effect):
    out = run(effect, clip())
    assert out
    for frame in out:
        assert frame.image.shape == (3, HEIGHT, WIDTH)
        assert frame.image.dtype == torch.float32
        assert frame.image.isfinite().all()
        assert 0 <= frame.image.min() <= frame.image.max() <= 1


def test_times_are_those_of_the_frames(effect):
    frames = clip(cuts=[3])
    assert [(f.pts, f.duration, f.cut) for f in run(effect, frames)] == [(f.pts, f.duration, f.cut) for f in frames]


def test_frames_are_not_written(effect):
    frames = clip(alpha=True)
    before = [frame.image.clone() for frame in frames]
    veils = [frame.alpha.clone() for frame in frames]
    run(effect, frames)
    assert all(torch.equal(frame.image, image) for frame, image in zip(frames, before))
    assert all(torch.equal(frame.alpha, veil) for frame, veil in zip(frames, veils))


def test_alpha_stays(effect):
    assert all(frame.alpha.shape == (1, HEIGHT, WIDTH) for frame in run(effect, clip(alpha=True)))
    assert all(frame.alpha is None for frame in run(effect, clip()))


def test_the_same_twice(effect):
    assert same(run(effect, clip()), run(effect, clip()))


def test_one_step_serves_two_films_at_once(effect):
    step, whole = effect.build(CPU), run(effect, clip())
    memories: list = [{}, {}]
    outs: list = [[], []]
    for frame in [*clip(), None]:
        for memory, out in zip(memories, outs):
            out.extend(step(frame, memory))
    assert same(outs[0], whole)
    assert same(outs[1], whole)


@pytest.mark.parametrize("at", [1, 3, 5])
def test_memory_saved_and_restored_gives_the_same_frames(effect, at):
    frames, memory = clip(), {}
    step = effect.build(CPU)
    begun = [out for frame in frames[:at] for out in step(frame, memory)]
    saved = dict(memory)
    for frame in frames[at:]:  # the first run goes on, and must not write into what was saved
        list(step(frame, memory))
    assert same(begun + run(effect, frames[at:], saved), run(effect, frames))


def test_nothing_is_remembered_over_a_cut(effect):
    frames = clip(cuts=[3])
    assert same(run(effect, frames)[3:], run(effect, frames[3:]))


def test_memory_does_not_grow(effect):
    step, memory = effect.build(CPU), {}
    sizes = []
    for frame in clip(6) * 20:
        list(step(frame, memory))
        sizes.append(sum(v.untyped_storage().nbytes() for v in memory.values() if isinstance(v, torch.Tensor)))
    assert max(sizes[60:]) <= max(sizes[:60])


def test_settings_have_a_type_a_default_and_help(effect):
    for setting in settings(type(effect)):
        assert getattr(effect, setting.name) == setting.default
        assert isinstance(setting.default, setting.type)
        assert len(setting.help) > 10


def test_effects_are_named_after_their_class(effect):
    name = type(effect).__name__.lower()
    assert EFFECTS[name] is type(effect)
    assert type(effect).__module__ == f"streamfx.effects.{name}"
    assert type(effect).__doc__


def test_settings_out_of_range_are_told(effect):
    for setting in settings(type(effect)):
        if setting.type in (int, float):
            for wrong in (-1, 1e9, float("nan"), "x", None):
                with pytest.raises(StreamfxError, match=f"{setting.name} is .* must be"):
                    type(effect)(**{setting.name: wrong})
