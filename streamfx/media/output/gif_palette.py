"""GIF palettes: one palette of 256 colors is reused for as long as it fits, so that the video does not flicker."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av.filter
import numpy as np

from streamfx.media.filters.graph import Filter, FilterGraph

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter.context import FilterContext
    from numpy.typing import NDArray

BITS = 5  # per channel of the color histogram
VISIBLE_DISTANCE = 14.0  # code values between a color and its nearest palette color
MAX_EXTRA_OUTLIERS = 0.01  # share of pixels, above that of the frame that the palette was made from
DITHER = "bayer:bayer_scale=5"  # a static pattern; error diffusion would crawl over static areas


class PaletteMapper:
    """Converts rgb24 or bgra frames to pal8.

    FFmpeg's palettegen makes a palette from one frame; it is reused until a frame has colors that it lacks. A palette
    per frame would flicker; one for the whole video would need the whole video first.
    """

    def __init__(self) -> None:
        self._palettegen = FilterGraph([Filter("palettegen", "stats_mode=single")], time_base=Fraction(1))
        self._distances: NDArray[np.float32] | None = None  # from each histogram color to the nearest palette color
        self._palette_outliers = 0.0  # share of outliers in the frame that the palette was made from
        self._input: FilterContext
        self._sink: FilterContext

    def apply(self, frame: VideoFrame) -> VideoFrame:
        """The frame in the palette's colors."""
        if self._distances is None or self._outliers(frame) > self._palette_outliers + MAX_EXTRA_OUTLIERS:
            self._build_palette(frame)
        self._input.push(frame)
        mapped = self._sink.pull()
        assert isinstance(mapped, av.VideoFrame)
        mapped.pts, mapped.duration, mapped.time_base = frame.pts, frame.duration, frame.time_base
        return mapped

    def _build_palette(self, frame: VideoFrame) -> None:
        (palette,) = self._palettegen.push(frame)
        colors = _pixels(palette)
        self._distances = _distances(colors[colors[:, 3] > 0, :3])
        self._palette_outliers = self._outliers(frame)
        self._graph = graph = av.filter.Graph()  # its filters do not keep it alive
        self._input, palette_input = _input(graph, frame), _input(graph, palette)
        mapper = graph.add("paletteuse", f"dither={DITHER}")
        self._sink = graph.add("buffersink")
        self._input.link_to(mapper, 0, 0)
        palette_input.link_to(mapper, 0, 1)
        mapper.link_to(self._sink)
        graph.configure()
        palette.pts = 0
        palette_input.push(palette)
        palette_input.push(None)

    def _outliers(self, frame: VideoFrame) -> float:
        """Share of opaque pixels whose color is too far from all palette colors."""
        assert self._distances is not None
        pixels = _pixels(frame)
        indices = _histogram_index(pixels[pixels[:, 3] > 127])
        return float((self._distances[indices] > VISIBLE_DISTANCE).mean()) if indices.size else 0.0


def _input(graph: av.filter.Graph, frame: VideoFrame) -> FilterContext:
    options = {
        "video_size": f"{frame.width}x{frame.height}",
        "pix_fmt": frame.format.name,
        "time_base": str(frame.time_base or Fraction(1, 25)),
        "colorspace": str(int(frame.colorspace)),
        "range": str(int(frame.color_range)),
    }
    return graph.add("buffer", None, **options)


def _pixels(frame: VideoFrame) -> NDArray[np.uint8]:
    """The RGBA pixels [N, 4] of a frame."""
    return np.asarray(frame.to_ndarray(format="rgba"), np.uint8).reshape(-1, 4)


def _histogram_index(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The histogram bin [N] of each pixel [N, 3 or 4]."""
    red, green, blue = (pixels[:, channel].astype(np.intp) >> (8 - BITS) for channel in range(3))
    return (red << 2 * BITS) | (green << BITS) | blue


def _distances(palette: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Distance in code values from each histogram color to the nearest of the palette [N, 3]."""
    side = (np.arange(1 << BITS, dtype=np.float32) + 0.5) * (1 << (8 - BITS))
    squares = [(side[:, None] - palette[None, :, channel]) ** 2 for channel in range(3)]  # 3 x [32, N]
    nearest = np.empty((1 << BITS,) * 3, np.float32)
    for red, square in enumerate(squares[0]):
        nearest[red] = (square + squares[1][:, None] + squares[2][None]).min(-1)
    return np.sqrt(nearest).ravel()
