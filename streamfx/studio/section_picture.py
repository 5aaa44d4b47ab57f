"""A small picture from the middle of a section of a timeline, rendered as a coarse preview."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from streamfx.studio.preview import IsStale

if TYPE_CHECKING:
    from torch import Tensor

    from streamfx.animation.audio_track import AudioAnalysis
    from streamfx.animation.timeline.loader import Timeline

PIXELS = 320 * 180  # of a picture
FRAMES = 16  # of the section that are rendered at most; the steps between them are larger than in the video


def section_frames(
    timeline: Timeline,
    analysis: AudioAnalysis | None,
    name: str,
    is_stale: IsStale,
    deliver: Callable[[Tensor], object],
) -> None:
    """Render a section up to its middle; `deliver` gets each image [3, H, W]. Returns early if it gets stale.

    Raises StreamfxError.
    """
    import torch

    from streamfx.animation.timeline.planner import build_plan
    from streamfx.animation.timeline.renderer import Render
    from streamfx.animation.timeline.scene import choose_model
    from streamfx.animation.timeline.timing import find_section_frames
    from streamfx.frame import Frame

    number = timeline.section_number(name) or 0
    length = len(find_section_frames(timeline, analysis)[number])
    plan = build_plan(timeline, analysis, stride=max(1, length // FRAMES), only=name)
    folder = Path(mkdtemp(prefix="streamfx-section-"))
    try:
        step = Render(plan, _size(timeline), choose_model(timeline, "auto"), folder).build(torch.device("cpu"))
        memory: dict[str, Any] = {}
        shown = 0
        with torch.no_grad():
            for unit in range(plan.units):
                blank = Frame(torch.zeros(3, 2, 2), Fraction(unit), Fraction(1))
                for frame in step(blank, memory):
                    deliver(frame.image)
                    shown += 1
                if is_stale() or shown > plan.count // 2:
                    return
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _size(timeline: Timeline) -> tuple[int, int]:
    """Height and width of a picture."""
    width, height = timeline.document.size
    scale = min(1.0, (PIXELS / (width * height)) ** 0.5)
    return round(height * scale / 2) * 2, round(width * scale / 2) * 2
