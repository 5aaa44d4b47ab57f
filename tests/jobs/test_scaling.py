"""Filters that a job puts around its chain."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from streamfx.effects.mirror import Mirror
from streamfx.effects.style import Style
from streamfx.jobs.scaling import downscale_to_working_resolution
from streamfx.media.filters.effect import Filter, Filters
from streamfx.styletransfer.working_resolution import AREA


@given(st.integers(1, 8000), st.integers(1, 8000), st.integers(1, 4000), st.floats(0.5, 2))
def test_sources_are_scaled_down_to_the_working_resolution_or_the_output_width(height, source_width, width, stroke):
    (scale,) = downscale_to_working_resolution([Style(stroke=stroke)], width)
    share = re.search(r"round\(iw\*(.*)\)':'", scale.options)[1]
    names = {"iw": source_width, "ih": height, "min": min, "max": max, "sqrt": math.sqrt}
    factor = eval(share, {"__builtins__": {}}, names)
    assert factor <= 1
    if factor < 1:
        assert source_width * factor >= width * 0.999
        assert source_width * height * factor**2 >= AREA / stroke**2 * 0.999


def test_sources_of_other_effects_are_not_scaled_down():
    for chain in ([], [Mirror()], [Style(), Mirror()], [Filters((Filter("crop", "9:9"),)), Style()]):
        assert downscale_to_working_resolution(chain, 100) == []
