"""Defaults of feedback videos stay in range, and layers take turns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamfx.animation.context import Context
from streamfx.animation.feedback_schedules import (
    AUDIO_SCHEDULES,
    DEFAULT_SCHEDULES,
    MAX_SCENE,
    check_schedules,
    layer_indices,
    tracks,
)
from streamfx.errors import StreamfxError

AUDIO = ("rms", "bass", "mid", "high", "beat", "onset")


@given(
    st.integers(1, 2000), st.integers(1, 6), st.lists(st.integers(0, 1999), max_size=5), st.sampled_from((1, 10, 30))
)
def test_layers_change_at_sections_and_in_time(count, layers, changes, fps):
    sections = np.zeros(count)
    for change in changes:
        sections[change:] += 1
    indices = layer_indices(Context(count - 1, fps, 0, {"section": sections}), layers)
    assert indices.shape == (count,)
    assert set(indices) <= set(range(layers))
    boundaries = np.flatnonzero(np.diff(sections)) + 1
    if layers > 1:
        starts = np.flatnonzero(np.diff(indices)) + 1
        assert set(boundaries) <= set(starts)
        assert max(np.diff([0, *starts, count])) <= MAX_SCENE * fps


@pytest.mark.parametrize("level", [0.0, 0.05, 0.3, 1.0])
def test_defaults_are_valid_at_any_level_of_the_audio(level):
    audio = {name: np.full(60, level) for name in AUDIO} | {"section": np.zeros(60)}
    values = tracks(AUDIO_SCHEDULES, Context(59, 30.0, 0, audio), 2)
    assert set(values) == {*DEFAULT_SCHEDULES, "layer"}
    assert (values["view"] > 0).all() == (level < 0.125)
    silent = tracks(DEFAULT_SCHEDULES, Context(59, 30.0), 2)
    assert (silent["view"] == 0).all()


@pytest.mark.parametrize(("name", "low", "high"), [("zoom", 0.0, 101.0), ("step", -0.1, 1.5), ("view", -0.1, 1.5)])
def test_values_out_of_range_name_the_frame(name, low, high):
    for value in (low, high):
        with pytest.raises(StreamfxError, match=f"{name} is {value:g} at frame 3, but must be from"):
            tracks(DEFAULT_SCHEDULES | {name: f"where(t < 3, 0.5, {value})"}, Context(9, 30.0), 1)


def test_checks_need_no_values_of_schedules_that_are_not_set():
    check_schedules({"zoom": "", "step": "0.01*layer"}, Context(9, 30.0), 2)
    with pytest.raises(StreamfxError, match="'bass' needs audio"):
        check_schedules({"zoom": "1 + bass"}, Context(9, 30.0), 2)
