"""Clips whose frames show their number as a bar code, with a click at each full second, and how to read them back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

RATE = 25  # frames per second
BITS = 14  # of the frame number
COLUMNS = BITS + 2  # the first two are black and white, for reference
SAMPLE_RATE = 48000  # Hz
_CLICK = 480  # samples


@dataclass
class Seen:
    """What a received clip contains."""

    numbers: list[int] = field(default_factory=list)  # from the bar codes
    times: list[float] = field(default_factory=list)  # of these frames, seconds
    clicks: list[float] = field(default_factory=list)  # times at which clicks start, seconds

    @property
    def offsets(self) -> list[float]:
        """For each click, the seconds by which it is later than its frame."""
        starts = [when - number % RATE / RATE for number, when in zip(self.numbers, self.times)]
        return [min((click - start for start in starts), key=abs) for click in self.clicks]


def write_bar_clip(path: Path, seconds: float, size: tuple[int, int] = (96, 64)) -> Path:
    """Write a clip of `size`, width and height: a moving test pattern under the bar code, and clicks."""
    width, height = size
    pattern = av.open(f"testsrc2=size={width}x{height}:rate={RATE}", format="lavfi")
    with av.open(str(path), "w") as container, pattern:
        options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(RATE // 2)}
        video = container.add_stream("libx264", RATE, options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = container.add_stream("aac", SAMPLE_RATE)
        audio.layout = "stereo"
        for number, source in zip(range(int(seconds * RATE)), pattern.decode(video=0)):
            frame = av.VideoFrame.from_ndarray(_with_bars(source.to_ndarray(format="rgb24"), number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(video.encode(frame))
            container.mux(audio.encode(_block(number)))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def _with_bars(pixels: np.ndarray, number: int) -> np.ndarray:
    """The picture with the bar code of `number` over its lower half."""
    bits = np.concatenate([[0, 1], (number >> np.arange(BITS)) & 1])
    width = pixels.shape[1] // COLUMNS
    pixels = pixels.copy()
    pixels[pixels.shape[0] // 2 :, : width * COLUMNS] = np.repeat(bits * 219 + 18, width)[None, :, None]
    return pixels


def _block(number: int) -> av.AudioFrame:
    length = SAMPLE_RATE // RATE
    samples = np.zeros((2, length), np.float32)
    if number % RATE == 0:
        samples[:, :_CLICK] = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(_CLICK) / SAMPLE_RATE)
    block = av.AudioFrame.from_ndarray(samples, "fltp", "stereo")
    block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, number * length, Fraction(1, SAMPLE_RATE)
    return block


def number_of(frame: av.VideoFrame) -> int:
    """The number in the bar code of a frame, whose colors may have been changed."""
    gray = frame.to_ndarray(format="gray").astype(np.float64)
    width = frame.width // COLUMNS
    rows = gray[frame.height * 5 // 8 : frame.height * 7 // 8, : width * COLUMNS]
    columns = rows.reshape(len(rows), COLUMNS, width)[:, :, width // 4 : max(width // 4 + 1, width * 3 // 4)]
    levels = columns.mean((0, 2))
    threshold = levels[:2].mean()
    return int(((levels[2:] > threshold) << np.arange(BITS)).sum())


def read_bars(path: str | Path) -> Seen:
    """What a file or stream contains."""
    seen = Seen()
    with av.open(str(path)) as container:
        loud: list[float] = []
        for frame in _decoded(container):
            assert frame.pts is not None
            assert frame.time_base is not None
            start = float(frame.pts * frame.time_base)
            if isinstance(frame, av.VideoFrame):
                seen.numbers.append(number_of(frame))
                seen.times.append(start)
            elif isinstance(frame, av.AudioFrame):
                samples = np.abs(frame.to_ndarray()).max(0)
                loud.extend(start + at / SAMPLE_RATE for at in np.flatnonzero(samples > 0.2)[:1])
    for when in loud:
        if not seen.clicks or when - seen.clicks[-1] > 0.5:
            seen.clicks.append(when)
    return seen


def _decoded(container: av.container.InputContainer) -> Iterator[object]:
    """All frames; packets that cannot be decoded, such as those before the first key frame, are skipped."""
    for packet in container.demux():
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue
