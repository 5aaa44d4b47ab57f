"""The grammar of expressions in schedules: characters to steps, or one line that shows the mistake."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isinf

from streamfx.animation.expression import BEATS, CONSTANTS, FUNCTIONS, VARIABLES, Expression, Op
from streamfx.errors import StreamfxError, unknown

_LONGEST = 1_000_000  # characters; some paste a key for each frame
_MOST = 2000  # steps of one expression
_DEEPEST = 40  # parentheses in each other
_SAME = {"&": "and", "|": "or", "&&": "and", "||": "or", "!": "~"}
_LEVELS = (("or",), ("and",), ("<", "<=", ">", ">=", "==", "!="), ("+", "-"), ("*", "/", "//", "%"))  # weakest first
_COMPARISONS = 2
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?:(?P<unit>[sb])(?![A-Za-z0-9_]))?"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>\*\*|//|<=|>=|==|!=|&&|\|\||.)|$)",
    re.ASCII | re.DOTALL,
)


class Parser:
    """A place in a text, and the grammar of expressions from there on. `name` begins its errors."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        if len(text) > _LONGEST:
            raise StreamfxError(f"{name}: {len(text)} characters are too many; give at most {_LONGEST}")
        self._ops: list[Op] = []
        self._depth = 0
        self._next(0)

    def error(self, reason: str, at: int | None = None) -> StreamfxError:
        return error_at(self.text, self.name, reason, self.at if at is None else at)

    def take(self, *signs: str) -> str | None:
        """The sign or word that comes next, if it is one of these, and step over it."""
        sign = _SAME.get(self.token, self.token)
        if self.number is not None or sign not in signs:
            return None
        self._next(self._end)
        return sign

    def expression(self) -> Expression:
        """What comes next, up to where it can go on no longer."""
        self._ops = []
        at = self.at
        self._level(0)
        if len(self._ops) > _MOST:
            raise self.error(f"{len(self._ops)} numbers and operations are too many in one; at most {_MOST}", at)
        return Expression(tuple(self._ops))

    def word(self) -> str | None:
        """The name that comes next, and step over it."""
        if not re.match(r"[A-Za-z_]", self.token):
            return None
        word = self.token
        self._next(self._end)
        return word

    def _next(self, start: int) -> None:
        found = _TOKEN.match(self.text, start)
        assert found is not None  # the last sign is any character
        self.number, self.unit = found["number"], found["unit"]
        self.token = found["number"] or found["name"] or found["sign"] or ""  # "" at the end
        self._end = found.end()
        self.at = found.end() - len(found[0].lstrip())

    def _emit(self, what: str, takes: int, at: int) -> None:
        self._ops.append(Op("call", what, takes, at))

    def _level(self, level: int) -> None:
        if level == len(_LEVELS):
            self._sign()
            return
        at, seen = self.at, 0
        if level == _COMPARISONS and self.take("not"):  # what it denies are whole comparisons; ~ binds like a minus
            self._nested(lambda: self._level(level))
            self._emit("~", 1, at)
            return
        self._level(level + 1)
        at = self.at
        while sign := self.take(*_LEVELS[level]):
            if level == _COMPARISONS and seen:
                raise self.error("comparisons cannot follow each other; write (a < b) & (b < c)", at)
            self._level(level + 1)
            self._emit(sign, 2, at)
            at, seen = self.at, seen + 1

    def _nested(self, inside: Callable[[], None]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self.error(f"more than {_DEEPEST} levels in each other")
        inside()
        self._depth -= 1

    def _sign(self) -> None:
        at = self.at
        sign = self.take("+", "-", "~")
        if sign is None:
            self._power()
            return
        start = len(self._ops)
        self._nested(self._sign)
        if sign == "~":
            self._emit("~", 1, at)
        elif sign == "-":
            only = self._ops[start]
            if len(self._ops) == start + 1 and isinstance(only.what, float):
                self._ops[start] = Op("number", -only.what, 0, at)
            else:
                self._emit("negative", 1, at)

    def _power(self) -> None:
        self._atom()
        at = self.at
        if self.take("**"):
            self._nested(self._sign)
            self._emit("**", 2, at)

    def _atom(self) -> None:
        at = self.at
        if self.number is not None:
            self._number(at)
        elif self.take("("):
            self._nested(lambda: self._level(0))
            self._close(at)
        elif (name := self.word()) is not None:
            opened = self.at
            if self.take("("):
                self._call(name, at, opened)
            else:
                self._variable(name, at)
        else:
            raise self.error("expected a number, a variable or a function" if self.token else "something is missing")

    def _number(self, at: int) -> None:
        value = float(self.token)
        if isinf(value):
            raise self.error("too large a number")
        self._ops.append(Op("number", value, 0, at))
        unit = self.unit
        self._next(self._end)
        if unit == "s":
            self._ops.append(Op("name", "fps", 0, at))
            self._emit("*", 2, at)
        elif unit == "b":
            self._emit(BEATS, 1, at)

    def _variable(self, name: str, at: int) -> None:
        if name in FUNCTIONS:
            raise self.error(f"{name} is a function; write {name}(...)", at)
        if name not in VARIABLES and name not in CONSTANTS:
            raise self.error(str(unknown("variable", name, (*VARIABLES, *CONSTANTS))), at)
        self._ops.append(Op("name", name, 0, at))

    def _call(self, name: str, at: int, opened: int) -> None:
        if name not in FUNCTIONS:
            if name in VARIABLES or name in CONSTANTS:
                raise self.error(f"{name} is no function; write {name}*(...) to multiply", at)
            raise self.error(str(unknown("function", name, FUNCTIONS)), at)
        fewest, most, _ = FUNCTIONS[name]
        count = 0
        if not self.take(")"):
            self._nested(lambda: self._level(0))
            count = 1
            while self.take(","):
                self._nested(lambda: self._level(0))
                count += 1
            self._close(opened)
        if not fewest <= count <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} or more" if most == 99 else f"{fewest} or {most}"
            raise self.error(f"{name} takes {wanted} argument{'s' * (wanted != '1')}, not {count}", at)
        self._emit(name, count, at)

    def _close(self, opened: int) -> None:
        if self.take(")"):
            return
        if not self.token:
            raise self.error("this parenthesis is not closed", opened)
        raise self.unexpected(f"expected ')' for the '(' of character {opened + 1}")

    def unexpected(self, wanted: str) -> StreamfxError:
        """The error of a token that does not belong here, with what may be meant."""
        if self.token in ("^", "="):
            return self.error("write ** for powers" if self.token == "^" else "write == to compare")
        return self.error(wanted)


def error_at(text: str, name: str, reason: str, at: int) -> StreamfxError:
    """One line that shows the place in the text."""
    shown = "".join(char if char.isprintable() else " " for char in text[at : at + 20])
    near = f", at '{shown}'" if at < len(text) else ", at the end"
    return StreamfxError(f"{name}, character {at + 1}{near}: {reason}")
