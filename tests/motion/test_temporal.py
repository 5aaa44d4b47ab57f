"""Warping of previous stylized frames, and long-term consistency after occlusions."""

from fractions import Fraction

import pytest
import torch

from streamfx.motion.occlusion import Motion
from streamfx.motion.temporal import estimate_motions, remember, warp_previous

SIZE = (12, 16)


def gray(value=0.5):
    return torch.full((3, *SIZE), value)


def no_motion(confidence):
    """An estimator of zero flow with this confidence everywhere."""
    return lambda previous, current: Motion(
        torch.zeros(2, *current.shape[1:]), torch.full((1, *current.shape[1:]), confidence)
    )


@pytest.fixture
def memory_after():
    """memory_after(frames): memory after that many frames of 1/4 s; frame n is stylized as gray n/100."""

    def memory_after(frames):
        memory = {}
        for number in range(frames):
            remember(memory, gray(), {"white": gray(number / 100)}, Fraction(number, 4))
        return memory

    return memory_after


def test_first_frame_has_no_previous():
    memory = {}
    assert estimate_motions(memory, gray(), SIZE, no_motion(1.0)) == {}
    assert warp_previous(memory, "white", {}) is None


def test_stylized_frame_is_warped():
    memory = {}
    stylized = torch.rand(3, *SIZE)
    remember(memory, gray(), {"white": stylized}, Fraction(0))
    flow = torch.zeros(2, *SIZE)
    flow[0] = 2
    motions = estimate_motions(memory, gray(), SIZE, lambda previous, current: Motion(flow, torch.ones(1, *SIZE)))
    warped = warp_previous(memory, "white", motions)
    assert torch.allclose(warped.warped[:, :, :-2], stylized[:, :, 2:], atol=1e-5)
    assert warped.share.max() < 0.7  # moving content takes more of the new stylized frame


def test_still_content_with_confidence_is_kept(memory_after):
    motions = estimate_motions(memory_after(2), gray(), SIZE, no_motion(1.0))
    warped = warp_previous(memory_after(2), "white", motions)
    assert warped.share.min() > 0.85
    assert warped.warped.mean() == pytest.approx(0.01, abs=1e-6)


def test_older_frame_is_used_only_for_disocclusions(memory_after):
    shapes = []

    def estimate(previous, current):
        shapes.append(current.shape)
        return no_motion(0.0 if len(shapes) == 1 else 1.0)(previous, current)

    memory = memory_after(12)  # ends at 2.75 s; the older frame is from 1 s
    warped = warp_previous(memory, "white", estimate_motions(memory, gray(), SIZE, estimate))
    assert warped.warped.mean() == pytest.approx(0.04, abs=1e-6)
    assert warped.confidence.min() > 0.99
    assert shapes == [(3, 12, 16)] * 2
    assert list(estimate_motions(memory, gray(), SIZE, no_motion(1.0))) == ["last"]


def test_size_change_clears_the_memory(memory_after):
    memory = memory_after(12)
    assert estimate_motions(memory, torch.rand(3, 8, 8), (8, 8), no_motion(1.0)) == {}
    assert not memory


def test_missing_stylized_frames_give_none(memory_after):
    memory = memory_after(2)
    assert warp_previous(memory, "black", estimate_motions(memory, gray(), SIZE, no_motion(1.0))) is None
    remember(memory, gray(), {"black": gray()}, Fraction(1))
    assert warp_previous(memory, "white", estimate_motions(memory, gray(), SIZE, no_motion(1.0))) is None
