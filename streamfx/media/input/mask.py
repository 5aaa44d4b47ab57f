"""Masks from an image or video: white is 1, black is 0."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.input.image_sequence import is_pattern
from streamfx.media.input.reader import SEQUENCE_RATE, Reader
from streamfx.media.probe import JITTER

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("streamfx")

FAR = 4  # seconds; farther ahead, seeking is cheaper than decoding


class Mask:
    """A mask from an image, which applies at all times, or from a video, which plays in sync with the main video.

    `at` depends only on its arguments, not on the order of calls; the decoded frames are just a cache.
    Raises StreamfxError if the source cannot be read.
    """

    _reader: Reader
    _frames: Iterator[Frame]  # not decoded yet
    _current: Frame  # shown by the last call
    _next: Frame | None  # the frame after it

    def __init__(self, source: str, role: str = "mask", rate: Fraction | None = None) -> None:
        """`role` is the name in messages: "mask", or "guide" for a guide image.

        `rate` is that of numbered images, in frames per second; None: SEQUENCE_RATE.
        """
        self.name, self.role, self._rate = source, role, rate
        if source == "-":
            raise StreamfxError(f"the {role} cannot come from stdin, because it may be read twice; give a file")
        self._warned = False
        self._cached: tuple[Frame, tuple[int, ...], Tensor] | None = None  # frame, size, and their mask
        reader = self._open(Fraction(0))
        self._tick = reader.info.time_base
        self._tolerance = JITTER / (reader.info.rate or SEQUENCE_RATE)
        self._read_from(reader, Fraction(0))
        self._still = self._next is None
        self._first = self._current.pts

    def at(self, pts: Fraction, image: Tensor) -> Tensor:
        """Return the mask [1, H, W], 0..1, for an `image` [3, H, W] at `pts`, on the image's device.

        The mask is luma times alpha, stretched to the size of the image. A mask video shows the last frame that starts
        at or before `pts`, in seconds from the start of the file; after its end its last frame is held, with a warning.
        """
        frame = self.frame_at(pts)
        size = tuple(image.shape[1:])
        if self._cached is None or self._cached[0] is not frame or self._cached[1] != size:
            self._cached = frame, size, _render(frame, size).to(image.device)
        return self._cached[2].to(image.device)

    def frame_at(self, pts: Fraction) -> Frame:
        """Return the source frame shown at `pts`; the same object for as long as it is shown."""
        return self._current if self._still else self._find(pts + self._tolerance)

    def _find(self, time: Fraction) -> Frame:
        """Return the frame shown at `time`: decode ahead to it, or seek if it is in the past or far ahead."""
        time = max(time, self._first)
        far_ahead = self._next is not None and time >= self._next.pts + FAR
        if time < self._current.pts or far_ahead:
            start = max(Fraction(0), floor(time / self._tick) * self._tick)
            try:
                reader = self._open(start)
            except StreamfxError:  # after the last frame: decode from the start to find that frame
                start = Fraction(0)
                reader = self._open(start)
            self._reader.close()
            self._read_from(reader, start)
        while self._next is not None and self._next.pts <= time:
            self._current, self._next = self._next, next(self._frames, None)
        end = self._current.pts + self._current.duration
        if self._next is None and time >= end + 2 * self._tolerance and not self._warned:
            self._warned = True
            log.warning(
                "the %s '%s' ends at %.2f s, before the video; holding its last frame", self.role, self.name, float(end)
            )
        return self._current

    def _open(self, start: Fraction) -> Reader:
        try:
            return Reader(self.name, start=start, input_rate=self._rate if is_pattern(self.name) else None)
        except StreamfxError as error:
            raise StreamfxError(f"the {self.role}: {error}") from error

    def _read_from(self, reader: Reader, start: Fraction) -> None:
        """Read frames from `start`, a whole number of ticks, where the first frame is the one shown at that time."""
        self._reader, self._frames = reader, _file_times(reader, start)
        self._current = next(self._frames)
        self._next = next(self._frames, None)


def _file_times(reader: Reader, start: Fraction) -> Iterator[Frame]:
    """Yield the frames with times counted from the start of the file rather than from the trim point."""
    for frame in reader:
        yield Frame(frame.image, frame.pts + start, frame.duration, alpha=frame.alpha)


def _render(frame: Frame, size: tuple[int, ...]) -> Tensor:
    """Return luma times alpha [1, *size], 0..1."""
    from torch.nn.functional import interpolate

    from streamfx.ops.color import luma

    mask = luma(frame.image) if frame.alpha is None else luma(frame.image) * frame.alpha
    if tuple(mask.shape[1:]) != size:
        mask = interpolate(mask[None], size, mode="bilinear", antialias=True)[0]
    return mask.clamp(0, 1)
