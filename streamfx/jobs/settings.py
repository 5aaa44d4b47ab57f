"""The settings of a job: what to read, what to do with it and what to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from streamfx.frame import Effect
from streamfx.jobs.generated import StillSource
from streamfx.media.encoding import Output


@dataclass(frozen=True)
class JobSettings:
    """The fields of a Job."""

    source: str | Path | StillSource
    target: str | Path
    chain: str | Sequence[Effect] = ()
    output: Output = field(default_factory=Output)
    start: Fraction | float = 0  # seconds of the source
    end: Fraction | float | None = None  # seconds of the source
    size: tuple[int, int] | None = None  # width and height to scale the source to; -1 or -2 keeps the aspect ratio
    rate: Fraction | None = None  # frames per second of the output; frames are dropped or repeated
    width: int | None = None  # pixels; scale the output to it
    input_format: str | None = None  # FFmpeg's demuxer
    input_rate: Fraction | None = None  # frames per second of image sequences and cameras
    device: str = "auto"  # or cpu, cuda
    segment: int | None = None  # frames between two checkpoints; 0: none; None: by the effects
