"""The one error users see: what was given, what is allowed, what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class StreamfxError(Exception):
    """A mistake in the input or the request, told in one line; the command line prints it and exits with 1."""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> StreamfxError:
    """Error for a `name` that is none of `allowed`: lists the nearest, or all of a short list where nothing is near."""
    names = sorted(allowed)
    near = get_close_matches(name, names, n=4, cutoff=0.5)
    if near:
        return StreamfxError(f"unknown {kind} '{name}'; did you mean {' or '.join(near)}?")
    listing = f"; known: {', '.join(names)}" if len(names) <= 30 else ""
    return StreamfxError(f"unknown {kind} '{name}'{listing}")
