"""Where a source is damaged: packets flagged as corrupt, decoding errors, and a missing end."""

from __future__ import annotations

from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

# formats with a duration in the header, against which a truncated file can be detected
DECLARES_DURATION = frozenset(("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "asf", "mxf"))
MICROSECOND = Fraction(1, 1_000_000)
END_TOLERANCE = Fraction(1, 2)  # seconds before the declared duration at which a source counts as complete
SEAM = 1  # seconds around a discontinuity in which packets flagged as corrupt are no damage


class Damage:
    """The first damage of a source. Times are in seconds, on the source's clock, which begins at `start`.

    At a discontinuity of timestamps FFmpeg flags packets as corrupt only because their counters do not continue. So a
    flagged packet counts once the source was read on, without a discontinuity nearby.
    """

    def __init__(self, start: Fraction) -> None:
        self.at: Fraction | None = None  # seconds from the start of the source
        self._start = start
        self._flagged: Fraction | None = None  # time of the first flagged packet that does not count yet
        self._seam = start - 2 * SEAM  # time of the last discontinuity

    def mark(self, time: Fraction) -> None:
        """Note that the data at `time` cannot be decoded or read."""
        if self.at is None:
            self.at = time - self._start

    def discontinuity(self, time: Fraction) -> None:
        """Note that the timestamps jump at `time`."""
        self._seam, self._flagged = time, None

    def reached(self, time: Fraction, *, flagged: Fraction | None = None) -> None:
        """Note that the source was read up to `time`, and the time of a packet `flagged` as corrupt."""
        if self._flagged is None:
            self._flagged = flagged
        if self._flagged is not None and time - self._flagged > SEAM:
            self._count_flagged()

    def ended(self, container: InputContainer, stream: VideoStream, time: Fraction) -> None:
        """Note that the source ended at `time`, which may be earlier than it declares."""
        self._count_flagged()
        if container.duration is None or container.format.name not in DECLARES_DURATION:
            return
        declared = container.duration * MICROSECOND
        if container.format.name == "avi":  # FFmpeg shortens the duration if the file is truncated, not this count
            declared = max(declared, stream.frames * (stream.time_base or MICROSECOND))
        if self._start + declared - time > END_TOLERANCE:
            self.mark(time)

    def _count_flagged(self) -> None:
        if self._flagged is not None and abs(self._flagged - self._seam) > SEAM:
            self.mark(self._flagged)
        self._flagged = None
