"""What a command puts around a chain: rate, size and width, as FFmpeg filters; and the clock of its masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamfx.frame import Effect
    from streamfx.media.filters.graph import Filter


def on_clock(chain: Sequence[Effect], start: Fraction) -> list[Effect]:
    """The chain for a film cut at `start`: mask videos belong to the whole film, and go on from there."""
    from streamfx.effects.dream import Dream
    from streamfx.effects.style import Style

    def later(effect: Effect) -> Effect:
        if isinstance(effect, Style) and effect.mask:
            return replace(effect, mask_start=effect.mask_start + start)
        if isinstance(effect, Dream) and (effect.mask or effect.guide):
            return replace(effect, mask_start=effect.mask_start + start)
        return effect

    return [later(effect) for effect in chain]


def settled(chain: Sequence[Effect]) -> list[Effect]:
    """The chain with the networks that its dreams choose by themselves, so that the film can tell them."""
    from streamfx.effects.dream import Dream

    return [effect.settled() if isinstance(effect, Dream) else effect for effect in chain]


def before(filters: Sequence[Filter], chain: Sequence[Effect]) -> list[Effect]:
    """The chain behind FFmpeg filters; one graph where it begins with such itself."""
    from streamfx.media.filters.effect import Filters
    from streamfx.media.filters.graph import joined

    if not filters:
        return list(chain)
    if chain and isinstance(chain[0], Filters):
        return [Filters(joined(filters, chain[0].nodes)), *chain[1:]]
    return [Filters(tuple(filters)), *chain]


def behind(chain: Sequence[Effect], filters: Sequence[Filter]) -> list[Effect]:
    """The chain in front of FFmpeg filters; one graph where it ends with such itself."""
    from streamfx.media.filters.effect import Filters
    from streamfx.media.filters.graph import followed

    if chain and isinstance(chain[-1], Filters):
        return [*chain[:-1], Filters(followed(chain[-1].nodes, filters))]
    return [*chain, Filters(tuple(filters))]


def to_width(width: int, target: str, form: str | None) -> list[Filter]:
    """Scale to `width` with square pixels; the height follows, even where the output halves colour."""
    from streamfx.media.filters.graph import Filter
    from streamfx.media.output.formats import format_of

    step = 2 if format_of(target, form).halves_chroma else 1
    return [Filter("scale", f"{width}:'{step}*max(1,round(ow/dar/{step}))':flags=lanczos"), Filter("setsar", "1")]


def no_larger_than_needed(chain: Sequence[Effect], width: int) -> list[Filter]:
    """Scale down first what is painted on a smaller canvas anyway, and then shown `width` wide.

    Only where painting is all that is done: other effects may count in pixels.
    """
    from streamfx.effects.style import Style
    from streamfx.media.filters.graph import Filter
    from streamfx.styletransfer import working_resolution

    finest = min((effect.stroke for effect in chain if isinstance(effect, Style)), default=0)
    if not finest or not all(isinstance(effect, Style) for effect in chain):
        return []
    share = f"min(1,max({width}/iw,sqrt({working_resolution.AREA / finest**2:.0f}/(iw*ih))))"
    return [Filter("scale", f"'round(iw*{share})':'round(ih*{share})':flags=lanczos")]
