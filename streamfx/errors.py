"""The error for invalid input: what was given, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class StreamfxError(Exception):
    """Invalid input or settings, described in one line; the command line prints it and exits with 1."""


class ParseError(StreamfxError):
    """Invalid text: a chain, a schedule, or a timeline; `offset` is the index in `text` of the character at fault."""

    def __init__(self, message: str, text: str, offset: int) -> None:
        super().__init__(message)
        self.text, self.offset = text, offset

    def __reduce__(self) -> tuple[type[ParseError], tuple[str, str, int]]:
        return type(self), (str(self), self.text, self.offset)


class Misuse(StreamfxError):
    """Command-line options that contradict each other or cannot be parsed; exits with 2."""


def unknown(kind: str, name: str, allowed: Iterable[str]) -> StreamfxError:
    """Error for a `name` not in `allowed`: suggests close matches, or lists all names of a short list."""
    names = sorted(allowed)
    matches = get_close_matches(name, names, n=4, cutoff=0.5)
    if matches:
        return StreamfxError(f"unknown {kind} '{name}'; did you mean {' or '.join(matches)}?")
    listing = f"; known: {', '.join(names)}" if len(names) <= 30 else ""
    return StreamfxError(f"unknown {kind} '{name}'{listing}")
