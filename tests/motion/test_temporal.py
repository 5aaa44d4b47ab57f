"""What was painted before comes to where it belongs now, and what was hidden for a moment comes back."""

from fractions import Fraction

import pytest
import torch

from streamfx.motion.flow import Motion
from streamfx.motion.temporal import find_prior, follow_past, remember

SIZE = (12, 16)


def seen(value=0.5):
    return torch.full((3, *SIZE), value)


def follow_trusted(trust):
    """Nothing moves, and all is trusted as much."""
    return lambda previous, current: Motion(
        torch.zeros(2, *current.shape[1:]), torch.full((1, *current.shape[1:]), trust)
    )


@pytest.fixture
def film():
    """film(seconds): the memory after that many frames, a quarter of a second each, painted in their number's grey."""

    def film(frames):
        memory = {}
        for number in range(frames):
            remember(memory, seen(), {"white": seen(number / 100)}, Fraction(number, 4))
        return memory

    return film


def test_the_first_frame_has_no_prior():
    memory = {}
    assert follow_past(memory, seen(), SIZE, follow_trusted(1.0)) == {}
    assert find_prior(memory, "white", {}) is None


def test_the_last_painting_moves_with_the_frame(film):
    memory = {}
    painted = torch.rand(3, *SIZE)
    remember(memory, seen(), {"white": painted}, Fraction(0))
    flow = torch.zeros(2, *SIZE)
    flow[0] = 2
    motions = follow_past(memory, seen(), SIZE, lambda previous, current: Motion(flow, torch.ones(1, *SIZE)))
    prior = find_prior(memory, "white", motions)
    assert torch.allclose(prior.warped[:, :, :-2], painted[:, :, 2:], atol=1e-5)
    assert prior.share.max() < 0.7  # what moves is painted anew for a good part


def test_what_is_still_and_trusted_stays(film):
    motions = follow_past(film(2), seen(), SIZE, follow_trusted(1.0))
    prior = find_prior(film(2), "white", motions)
    assert prior.share.min() > 0.85
    assert prior.warped.mean() == pytest.approx(0.01, abs=1e-6)


def test_an_older_painting_is_asked_only_where_the_last_does_not_serve(film):
    asked = []

    def follow(previous, current):
        asked.append(current.shape)
        return follow_trusted(0.0 if len(asked) == 1 else 1.0)(previous, current)

    memory = film(12)  # of 2.75 seconds: the older one is of second 1
    prior = find_prior(memory, "white", follow_past(memory, seen(), SIZE, follow))
    assert prior.warped.mean() == pytest.approx(0.04, abs=1e-6)
    assert prior.trust.min() > 0.99
    assert asked == [(3, 12, 16)] * 2
    assert list(follow_past(memory, seen(), SIZE, follow_trusted(1.0))) == ["last"]


def test_a_frame_of_another_size_begins_anew(film):
    memory = film(12)
    assert follow_past(memory, torch.rand(3, 8, 8), (8, 8), follow_trusted(1.0)) == {}
    assert not memory


def test_a_painting_that_was_not_made_is_not_found(film):
    memory = film(2)
    assert find_prior(memory, "black", follow_past(memory, seen(), SIZE, follow_trusted(1.0))) is None
    remember(memory, seen(), {"black": seen()}, Fraction(1))
    assert find_prior(memory, "white", follow_past(memory, seen(), SIZE, follow_trusted(1.0))) is None
