"""The contract of all effects."""

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
    """Frames of a bar that moves over a colored background, at a variable rate."""
    frames = []
    for i in range(count):
        image = torch.linspace(0, 1, WIDTH).expand(3, HEIGHT, WIDTH) * torch.tensor([1.0, 0.6, 0.3]).view(3, 1, 1)
        image[:, :, i * 8 : i * 8 + 8] = 1.0
        transparency = torch.linspace(0, 1, HEIGHT).view(1, -1, 1).expand(1, HEIGHT, WIDTH) if alpha else None
        pts = Fraction(i * 1001, 30000) + (Fraction(1, 7) if i > 2 else 0)
        frames.append(Frame(image.contiguous(), pts, Fraction(1001, 30000), i in cuts, transparency))
    return frames


def run(effect, frames, memory=None):
    memory = {} if memory is None else memory
    step = effect.build(CPU)
    return [output for frame in [*frames, None] for output in step(frame, memory)]


def equal(first, second):
    times = [[(f.pts, f.duration, f.cut) for f in frames] for frames in (first, second)]
    return times[0] == times[1] and all(torch.equal(a.image, b.image) for a, b in zip(first, second))


def test_images_keep_shape_dtype_and_range(effect):
    outputs = run(effect, clip())
    assert outputs
    for frame in outputs:
        assert frame.image.shape == (3, HEIGHT, WIDTH)
        assert frame.image.dtype == torch.float32
        assert frame.image.isfinite().all()
        assert 0 <= frame.image.min() <= frame.image.max() <= 1


def test_times_are_kept(effect):
    frames = clip(cuts=[3])
    assert [(f.pts, f.duration, f.cut) for f in run(effect, frames)] == [(f.pts, f.duration, f.cut) for f in frames]


def test_input_frames_are_not_modified(effect):
    frames = clip(alpha=True)
    images = [frame.image.clone() for frame in frames]
    alphas = [frame.alpha.clone() for frame in frames]
    run(effect, frames)
    assert all(torch.equal(frame.image, image) for frame, image in zip(frames, images))
    assert all(torch.equal(frame.alpha, alpha) for frame, alpha in zip(frames, alphas))


def test_alpha_is_kept(effect):
    assert all(frame.alpha.shape == (1, HEIGHT, WIDTH) for frame in run(effect, clip(alpha=True)))
    assert all(frame.alpha is None for frame in run(effect, clip()))


def test_runs_are_reproducible(effect):
    assert equal(run(effect, clip()), run(effect, clip()))


def test_one_step_can_process_two_videos(effect):
    step, expected = effect.build(CPU), run(effect, clip())
    memories: list = [{}, {}]
    outputs: list = [[], []]
    for frame in [*clip(), None]:
        for memory, output in zip(memories, outputs):
            output.extend(step(frame, memory))
    assert equal(outputs[0], expected)
    assert equal(outputs[1], expected)


@pytest.mark.parametrize("at", [1, 3, 5])
def test_saved_memory_gives_the_same_frames(effect, at):
    frames, memory = clip(), {}
    step = effect.build(CPU)
    first = [output for frame in frames[:at] for output in step(frame, memory)]
    saved = dict(memory)
    for frame in frames[at:]:  # continuing the first run must not modify the saved memory
        list(step(frame, memory))
    assert equal(first + run(effect, frames[at:], saved), run(effect, frames))


def test_a_cut_resets_the_state(effect):
    frames = clip(cuts=[3])
    assert equal(run(effect, frames)[3:], run(effect, frames[3:]))


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


def test_out_of_range_settings_are_errors(effect):
    for setting in settings(type(effect)):
        if setting.type in (int, float):
            for value in (-1, 1e9, float("nan"), "x", None):
                with pytest.raises(StreamfxError, match=f"{setting.name} is .* must be"):
                    type(effect)(**{setting.name: value})
