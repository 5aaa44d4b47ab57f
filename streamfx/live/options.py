"""The options of a live run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from streamfx.frame import Effect
from streamfx.media.live.address import LiveSource, LiveTarget


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What to read, how to process it, and where to send it."""

    source: LiveSource
    target: LiveTarget
    effects: Sequence[Effect] = ()
    record: Path | None = None  # a file written beside the target
    overwrite: bool = False  # the recorded file
    pace: bool | None = None  # read in real time; None: files only
    loop: bool = False  # start a file again at its end
    rate: Fraction | None = None  # most frames per second; None: all of the source
    size: tuple[int, int] | None = None  # width and height of the output; None: the source's
    latency: float = 0.5  # seconds that a frame may be late
    fade: float = 1.0  # seconds of a cross-fade
    slate: Path | None = None  # picture shown while the source is away; None: its last frame
    bitrate: int | None = None  # bits per second; None: by quality
    audio: bool = True
    device: str = "auto"
    adapt: bool = True  # the working resolution and the network
    json_lines: Path | None = None
    reconnect: bool = True  # wait for a source that was lost

    @property
    def paced(self) -> bool:
        """Whether frames wait until their time has come."""
        return self.source.kind == "file" if self.pace is None else self.pace
