"""Chains on single frames: the same picture as a render's first frame, drafts, and what is kept."""

from fractions import Fraction

import pytest
import torch

from streamfx.chain import build_chain
from streamfx.effects.dream import Dream
from streamfx.effects.mirror import Mirror
from streamfx.effects.style import Style
from streamfx.effects.trails import Trails
from streamfx.frame import Frame
from streamfx.studio.stills import StillRenderer, _draft_of, _still


@pytest.fixture
def frame():
    y, x = torch.linspace(0, 1, 48)[:, None], torch.linspace(0, 1, 64)
    return Frame(torch.stack([x + 0 * y, y + 0 * x, (x + y) / 2]), Fraction(2), Fraction(1, 25))


def test_effects_and_filters_are_applied_in_order(frame):
    renderer = StillRenderer()
    assert torch.equal(renderer.render(frame, []), frame.image)
    expected = next(iter(Mirror().build(torch.device("cpu"))(frame, {}))).image
    assert torch.equal(renderer.render(frame, build_chain("mirror")), expected)
    gray = renderer.render(frame, build_chain("mirror,hue=s=0"))
    assert (gray[0] - gray[1]).abs().max() < 0.02
    assert renderer.render(frame, build_chain("scale=32:24,mirror")).shape == (3, 24, 32)


def test_schedules_have_the_value_of_the_frame(frame):
    renderer = StillRenderer()
    chain = build_chain(r"style='vangogh:strength=0\:(0), 50\:(1)'")
    assert torch.equal(renderer.render(frame, chain, number=0), frame.image)  # strength 0


def test_settings_that_may_have_a_schedule_need_no_rebuilding(frame):
    renderer = StillRenderer()
    for decay in (0.1, 0.5, 0.9):
        renderer.render(frame, [Trails(decay=decay)])
    assert len(renderer._steps) == 1
    renderer.render(frame, [Mirror()])
    assert len(renderer._steps) == 2


def test_only_the_latest_effects_are_kept(frame):
    renderer = StillRenderer(keep=1)
    renderer.render(frame, [Trails(), Mirror()])
    assert len(renderer._steps) == 1


def test_drafts_are_cheaper():
    assert _still(Style()).coherence == "off"
    assert _draft_of(Style()) == Style()  # a smaller working resolution makes the strokes wider
    draft = _draft_of(Dream(octaves=4, steps=10))
    assert (draft.octaves, draft.steps) == (2, 5)
    assert _draft_of(Mirror()) == Mirror()
