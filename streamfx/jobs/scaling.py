"""Puts the FFmpeg filters for a job's frame rate, size and width around its chain."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from streamfx.effects.defaults import working_pixels
from streamfx.frame import Effect
from streamfx.media.filters.effect import Filters
from streamfx.media.filters.graph import Filter, append_filters, prepend_filters
from streamfx.media.output.formats import format_of


def with_scaling(
    chain: Sequence[Effect],
    rate: Fraction | None,
    size: tuple[int, int] | None,
    width: int | None,
    target: str,
    format_name: str | None,
) -> list[Effect]:
    """The chain after filters that set the frame `rate` and scale to `size` (width, height), and before a scaling
    to `width`.

    -1 or -2 in `size` keeps the aspect ratio. With `width` and no `size`, frames are first scaled down to the
    resolution that the effects work at.
    """
    leading = []
    if rate is not None:
        leading.append(Filter("fps", str(rate)))
    if size is not None:
        leading.append(Filter("scale", "{}:{}:flags=lanczos".format(*size)))
    if width is None:
        return _with_leading(leading, chain)
    if size is None:
        leading += downscale_to_working_resolution(chain, width)
    return _with_leading(leading, _with_trailing(chain, _scale_to_width(width, target, format_name)))


def downscale_to_working_resolution(chain: Sequence[Effect], width: int) -> list[Filter]:
    """Filters that scale the source down to the working resolution of the effects, but not below `width`.

    Empty if an effect in the chain needs frames at their full size.
    """
    pixels = [working_pixels(effect) for effect in chain]
    known = [count for count in pixels if count is not None]
    if not known or len(known) < len(pixels):
        return []
    scale = f"min(1,max({width}/iw,sqrt({max(known):.0f}/(iw*ih))))"
    return [Filter("scale", f"'round(iw*{scale})':'round(ih*{scale})':flags=lanczos")]


def _with_leading(filters: Sequence[Filter], chain: Sequence[Effect]) -> list[Effect]:
    """Put FFmpeg filters before the chain, in one graph if the chain starts with FFmpeg filters."""
    if not filters:
        return list(chain)
    if chain and isinstance(chain[0], Filters):
        return [Filters(prepend_filters(filters, chain[0].nodes)), *chain[1:]]
    return [Filters(tuple(filters)), *chain]


def _with_trailing(chain: Sequence[Effect], filters: Sequence[Filter]) -> list[Effect]:
    """Put FFmpeg filters after the chain, in one graph if the chain ends with FFmpeg filters."""
    if chain and isinstance(chain[-1], Filters):
        return [*chain[:-1], Filters(append_filters(chain[-1].nodes, filters))]
    return [*chain, Filters(tuple(filters))]


def _scale_to_width(width: int, target: str, format_name: str | None) -> list[Filter]:
    """Scale to `width` with square pixels, keeping the aspect ratio; even sizes if the output subsamples chroma."""
    step = 2 if format_of(target, format_name).prefers_even_sizes else 1
    return [Filter("scale", f"{width}:'{step}*max(1,round(ow/dar/{step}))':flags=lanczos"), Filter("setsar", "1")]
