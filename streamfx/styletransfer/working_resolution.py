"""The working resolution: the size at which frames are stylized, so that strokes cover the same share of any frame."""

from __future__ import annotations

import math

AREA = 1280 * 720  # pixels; frames of every size are stylized at about this area
NEAR = 1.12  # ratio of a frame's side to the working size's below which the frame is stylized at its own size
STROKE_STEPS = 8  # per doubling; a network is compiled for each size, so a stroke that changes takes few sizes
LARGEST_SCALE = 6.0  # enlargement at most, for tiny and very narrow frames


def working_size(height: int, width: int, stroke: float, share: float = 1.0) -> tuple[int, int]:
    """Height and width in pixels at which to stylize a frame; a larger `stroke` (0.5..2) makes it smaller.

    The stroke is rounded to the nearest of STROKE_STEPS steps per doubling. `share` of AREA is used. Strokes have a
    fixed size in pixels, so a quarter of the area doubles them.
    """
    stroke = 2 ** (round(math.log2(stroke) * STROKE_STEPS) / STROKE_STEPS)
    scale = min(LARGEST_SCALE, math.sqrt(AREA * share / (height * width)) / stroke)
    if 1 / NEAR < scale < NEAR:
        return height, width
    return max(1, round(height * scale)), max(1, round(width * scale))
