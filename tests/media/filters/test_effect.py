"""FFmpeg filters as an effect: timing, cuts, alpha and colors."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.filters.effect import Filter, Filters

CPU = torch.device("cpu")


def clip(count=6, duration=Fraction(1, 25), cuts=(), alpha=False, times=None):
    ramp = torch.linspace(0, 1, 64).expand(3, 48, 64) * torch.tensor([1.0, 0.5, 0.25]).view(3, 1, 1)
    alpha_plane = torch.linspace(1, 0, 48).view(1, 48, 1).expand(1, 48, 64) if alpha else None
    times = times or [i * duration for i in range(count)]
    return [Frame(ramp * ((i + 1) / len(times)), t, duration, i in cuts, alpha_plane) for i, t in enumerate(times)]


def run(effect, frames, memory=None, step=None):
    memory = {} if memory is None else memory
    step = step or effect.build(CPU)
    return [out for frame in [*frames, None] for out in step(frame, memory)]


@pytest.mark.parametrize(
    "duration", [Fraction(1, 25), Fraction(1001, 30000), Fraction(1, 1000), Fraction(3, 90000), Fraction(1, 16384)]
)
def test_timing_and_image_pass_unchanged(duration):
    frames = clip(duration=duration)
    out = run(Filters((Filter("null"),)), frames)
    assert [(f.pts, f.duration) for f in out] == [(f.pts, f.duration) for f in frames]
    for frame, source in zip(out, frames):
        assert frame.image.dtype == torch.float32
        torch.testing.assert_close(frame.image, source.image, atol=1 / 65535, rtol=0)


def test_variable_frame_rate_passes_unchanged():
    times = [Fraction(0), Fraction(1, 7), Fraction(5, 7), Fraction(3)]
    out = run(Filters((Filter("hflip"),)), clip(times=times))
    assert [f.pts for f in out] == times
    assert [f.duration for f in out] == [Fraction(1, 7), Fraction(4, 7), Fraction(16, 7), Fraction(1, 25)]


@pytest.mark.parametrize(
    ("node", "durations"),
    [
        (Filter("fps", "12"), [Fraction(1, 12)] * 3),
        (Filter("fps", "50"), [Fraction(1, 50)] * 12),
        (Filter("setpts", "2*PTS"), [Fraction(2, 25)] * 6),
        (Filter("framestep", "3"), [Fraction(3, 25)] * 2),
        (Filter("select", "mod(n,2)"), [Fraction(2, 25), Fraction(2, 25), Fraction(1, 25)]),
        (Filter("tmix", "frames=3"), [Fraction(1, 25)] * 6),
        (Filter("trim", "end_frame=2"), [Fraction(1, 25)] * 2),
        (Filter("reverse"), [Fraction(1, 25)] * 6),
    ],
)
def test_durations_after_retiming_filters(node, durations):
    out = run(Filters((node,)), clip())
    assert [frame.duration for frame in out] == durations
    assert all(a.pts + a.duration == b.pts for a, b in pairwise(out))


@pytest.mark.parametrize(
    ("node", "cuts"),
    [
        (Filter("null"), [3]),
        (Filter("fps", "50"), [6]),
        (Filter("select", "1-eq(n,3)"), [3]),
        (Filter("minterpolate", "fps=50"), [6]),
        (Filter("setpts", "PTS+1/TB"), [3]),
    ],
)
def test_cuts_pass_through_filters(node, cuts):
    out = run(Filters((node,)), clip(cuts=[3]))
    assert [i for i, frame in enumerate(out) if frame.cut] == cuts


def test_alpha_passes_and_can_be_added():
    frames = clip(alpha=True)
    out = run(Filters((Filter("hflip"),)), frames)
    torch.testing.assert_close(out[0].alpha, frames[0].alpha, atol=1 / 65535, rtol=0)
    keyed = run(Filters((Filter("colorkey", "black:0.01"),)), clip())
    assert keyed[0].alpha is not None
    assert keyed[0].alpha.unique().tolist() == [0.0, 1.0]
    assert run(Filters((Filter("null"),)), clip())[0].alpha is None


def test_colors_survive_filters_that_need_yuv():
    colors = torch.tensor([[0.9, 0.1, 0.2], [0.1, 0.8, 0.3], [0.2, 0.3, 0.95], [0.5, 0.5, 0.5]])
    for color in colors:
        frame = Frame(color.view(3, 1, 1).expand(3, 48, 64), Fraction(0), Fraction(1, 25))
        (out,) = run(Filters((Filter("hue", "s=1"),)), [frame])
        torch.testing.assert_close(out.image, frame.image, atol=3 / 255, rtol=0)


def test_one_step_serves_two_runs_and_can_resume():
    effect = Filters((Filter("hflip"),))
    frames, whole = clip(), run(effect, clip())
    step = effect.build(CPU)
    first, second = {}, {}
    both = [(list(step(frame, first)), list(step(frame, second))) for frame in [*frames, None]]
    for parts in zip(*both):
        out = [frame for part in parts for frame in part]
        assert len(out) == len(whole)
        assert all(torch.equal(a.image, b.image) for a, b in zip(out, whole))

    memory: dict = {}
    before = [out for frame in frames[:3] for out in step(frame, memory)]
    resumed = run(effect, frames[3:], memory=dict(memory))
    assert [f.pts for f in before + resumed] == [f.pts for f in whole]
    assert all(torch.equal(a.image, b.image) for a, b in zip(before + resumed, whole))


def test_invalid_filters_fail_when_the_effect_is_created():
    with pytest.raises(StreamfxError, match="zap"):
        Filters((Filter("hue", "zap=1"),))
    with pytest.raises(StreamfxError, match="one open output, but this has 2"):
        Filters((Filter("split"),))
