"""A picture or video that says where: white is one, black is nothing, grey lies between."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from streamfx.errors import StreamfxError
from streamfx.frame import Frame
from streamfx.media.input.reader import SEQUENCE_RATE, Reader
from streamfx.media.output.timestamps import JITTER

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("streamfx")

FAR = 4  # seconds ahead from which seeking is cheaper than decoding all between


class Mask:
    """A mask opened from a picture, which stands for all times, or a video, which is read along with the film.

    What it keeps of the video is a cache: `at` gives the same for the same time, in whatever order it is asked.
    Raises StreamfxError where the source cannot be read.
    """

    _reader: Reader
    _frames: Iterator[Frame]  # those still to come
    _held: Frame  # the one shown last
    _next: Frame | None  # the one behind it

    def __init__(self, source: str, role: str = "mask") -> None:
        """`role` is what messages call it: a guide is read in the same way."""
        self.name, self.role = source, role
        if source == "-":
            raise StreamfxError(f"the {role} cannot come from stdin, for it may be read more than once; give a file")
        self._said = False
        self._seen: tuple[Frame, tuple[int, ...], Tensor] | None = None  # frame, size, and the mask made of them
        reader = self._opened(Fraction(0))
        self._tick = reader.info.time_base
        self._slack = JITTER / (reader.info.rate or SEQUENCE_RATE)
        self._begin(reader, Fraction(0))
        self._still = self._next is None
        self._first = self._held.pts

    def at(self, pts: Fraction, image: Tensor) -> Tensor:
        """The mask [1, H, W], 0..1, for a film's `image` [3, H, W] at `pts`, on the image's device.

        Of a video it is the last frame that starts no later than `pts`, both counted in seconds from the beginning of
        the file; its last frame stays, with a warning. It is stretched to the image's size. With alpha, it is the luma
        times alpha.
        """
        frame = self.frame_at(pts)
        size = tuple(image.shape[1:])
        if self._seen is None or self._seen[0] is not frame or self._seen[1] != size:
            self._seen = frame, size, _drawn(frame, size).to(image.device)
        return self._seen[2].to(image.device)

    def frame_at(self, pts: Fraction) -> Frame:
        """The frame shown at `pts`, as it is; the same object while it is shown."""
        return self._held if self._still else self._find(pts + self._slack)

    def _find(self, moment: Fraction) -> Frame:
        """The frame shown at a moment; reads on to it, or begins anew where it lies behind or far ahead."""
        moment = max(moment, self._first)
        ahead = self._next is not None and moment >= self._next.pts + FAR
        if moment < self._held.pts or ahead:
            start = max(Fraction(0), floor(moment / self._tick) * self._tick)
            try:
                reader = self._opened(start)
            except StreamfxError:  # nothing is shown so late: the last frame has to be found from the beginning
                start = Fraction(0)
                reader = self._opened(start)
            self._reader.close()
            self._begin(reader, start)
        while self._next is not None and self._next.pts <= moment:
            self._held, self._next = self._next, next(self._frames, None)
        end = self._held.pts + self._held.duration
        if self._next is None and moment >= end + 2 * self._slack and not self._said:
            self._said = True
            log.warning(
                "the %s '%s' ends at %.2f s, before the film: its last frame stays", self.role, self.name, float(end)
            )
        return self._held

    def _opened(self, start: Fraction) -> Reader:
        try:
            return Reader(self.name, start=start)
        except StreamfxError as error:
            raise StreamfxError(f"the {self.role}: {error}") from error

    def _begin(self, reader: Reader, start: Fraction) -> None:
        """Read from the frame on that is shown at `start`, a whole number of ticks."""
        self._reader, self._frames = reader, _moved(reader, start)
        self._held = next(self._frames)
        self._next = next(self._frames, None)


def _moved(reader: Reader, start: Fraction) -> Iterator[Frame]:
    """The reader's frames, at times counted from the beginning of the file and not from where it was cut."""
    for frame in reader:
        yield Frame(frame.image, frame.pts + start, frame.duration, alpha=frame.alpha)


def _drawn(frame: Frame, size: tuple[int, ...]) -> Tensor:
    """The frame's luma, times its alpha, [1, *size]."""
    from torch.nn.functional import interpolate

    from streamfx.ops.color import luma

    mask = luma(frame.image) if frame.alpha is None else luma(frame.image) * frame.alpha
    if tuple(mask.shape[1:]) != size:
        mask = interpolate(mask[None], size, mode="bilinear", antialias=True)[0]
    return mask.clamp(0, 1)
