"""Pictures in 256 colours for GIF: a palette that stays as long as it serves, so that nothing shimmers."""

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

BITS = 5  # of each of R, G and B, in which colours are counted
FAR = 14.0  # code values from a colour to the nearest of the palette, from which the difference can be seen
STRAYS = 0.01  # share of the picture that may be farther than the palette's own picture was
DITHER = "bayer:bayer_scale=5"  # a faint pattern that stands still; diffused errors crawl over what does not move


class Palettes:
    """Turns pictures in rgb24 or bgra into pal8, one for one.

    A palette is made from one picture (FFmpeg's palettegen) and kept until a picture comes with colours that it lacks:
    a palette for each picture would shimmer, one for the whole film would need the whole film first.
    """

    def __init__(self) -> None:
        self._maker = FilterGraph([Filter("palettegen", "stats_mode=single")], time_base=Fraction(1))
        self._distances: NDArray[np.float32] | None = None  # of each colour to the nearest of the palette
        self._strays = 0.0  # share of the picture that the palette was made from
        self._entry: FilterContext
        self._sink: FilterContext

    def mapped(self, picture: VideoFrame) -> VideoFrame:
        """The picture in colours of the palette."""
        if self._distances is None or self._strays_of(picture) > self._strays + STRAYS:
            self._take_palette_from(picture)
        self._entry.push(picture)
        mapped = self._sink.pull()
        assert isinstance(mapped, av.VideoFrame)
        mapped.pts, mapped.duration, mapped.time_base = picture.pts, picture.duration, picture.time_base
        return mapped

    def _take_palette_from(self, picture: VideoFrame) -> None:
        (palette,) = self._maker.push(picture)
        colours = _pixels(palette)
        self._distances = _distances(colours[colours[:, 3] > 0, :3])
        self._strays = self._strays_of(picture)
        self._graph = graph = av.filter.Graph()  # kept: its filters do not keep it
        self._entry, entries = _entry(graph, picture), _entry(graph, palette)
        mapper = graph.add("paletteuse", f"dither={DITHER}")
        self._sink = graph.add("buffersink")
        self._entry.link_to(mapper, 0, 0)
        entries.link_to(mapper, 0, 1)
        mapper.link_to(self._sink)
        graph.configure()
        palette.pts = 0
        entries.push(palette)
        entries.push(None)

    def _strays_of(self, picture: VideoFrame) -> float:
        """Share of the picture that lies far from all colours of the palette."""
        assert self._distances is not None
        pixels = _pixels(picture)
        index = _index(pixels[pixels[:, 3] > 127])
        return float((self._distances[index] > FAR).mean()) if index.size else 0.0


def _entry(graph: av.filter.Graph, picture: VideoFrame) -> FilterContext:
    options = {
        "video_size": f"{picture.width}x{picture.height}",
        "pix_fmt": picture.format.name,
        "time_base": str(picture.time_base or Fraction(1, 25)),
        "colorspace": str(int(picture.colorspace)),
        "range": str(int(picture.color_range)),
    }
    return graph.add("buffer", None, **options)


def _pixels(picture: VideoFrame) -> NDArray[np.uint8]:
    """Red, green, blue and alpha [N, 4] of a picture."""
    return np.asarray(picture.to_ndarray(format="rgba"), np.uint8).reshape(-1, 4)


def _index(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """The number of the colour of each pixel [N, 3 or 4]."""
    red, green, blue = (pixels[:, channel].astype(np.intp) >> (8 - BITS) for channel in range(3))
    return (red << 2 * BITS) | (green << BITS) | blue


def _distances(palette: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Code values from each colour that can be counted to the nearest of the palette [N, 3]."""
    side = (np.arange(1 << BITS, dtype=np.float32) + 0.5) * (1 << (8 - BITS))
    squares = [(side[:, None] - palette[None, :, channel]) ** 2 for channel in range(3)]  # [32, N] each
    nearest = np.empty((1 << BITS,) * 3, np.float32)
    for red, square in enumerate(squares[0]):
        nearest[red] = (square + squares[1][:, None] + squares[2][None]).min(-1)
    return np.sqrt(nearest).ravel()
