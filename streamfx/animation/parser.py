"""The parser for expressions in schedules: text to stack operations, or a one-line error with its position."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isinf

from streamfx.animation.expression import BEATS, CONSTANTS, FUNCTIONS, VARIABLES, Expression, Op
from streamfx.errors import ParseError, StreamfxError, unknown

_MAX_LENGTH = 1_000_000  # characters; some users paste one key per frame
_MAX_OPS = 2000  # in one expression
_MAX_DEPTH = 40  # of nested parentheses and signs
_ALIASES = {"&": "and", "|": "or", "&&": "and", "||": "or", "!": "~"}
_LEVELS = (("or",), ("and",), ("<", "<=", ">", ">=", "==", "!="), ("+", "-"), ("*", "/", "//", "%"))  # loosest first
_COMPARISONS = 2  # index of the comparisons above
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?:(?P<unit>[sb])(?![A-Za-z0-9_]))?"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>\*\*|//|<=|>=|==|!=|&&|\|\||.)|$)",
    re.ASCII | re.DOTALL,
)


class Parser:
    """A recursive-descent parser with one token of lookahead. Error messages start with `name`."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        if len(text) > _MAX_LENGTH:
            raise StreamfxError(f"{name} has {len(text)} characters; give at most {_MAX_LENGTH}")
        self._ops: list[Op] = []
        self._depth = 0
        self._next(0)

    def error(self, reason: str, offset: int | None = None) -> ParseError:
        return error_at(self.text, self.name, reason, self.offset if offset is None else offset)

    def take(self, *signs: str) -> str | None:
        """Consume and return the next sign or word if it is one of `signs`, else return None."""
        sign = _ALIASES.get(self.token, self.token)
        if self.number is not None or sign not in signs:
            return None
        self._next(self._end)
        return sign

    def expression(self) -> Expression:
        """Parse the longest expression that starts here."""
        self._ops = []
        offset = self.offset
        self._level(0)
        if len(self._ops) > _MAX_OPS:
            raise self.error(f"this expression has {len(self._ops)} operations; use at most {_MAX_OPS}", offset)
        return Expression(tuple(self._ops))

    def word(self) -> str | None:
        """Consume and return the next name, or return None."""
        if not re.match(r"[A-Za-z_]", self.token):
            return None
        word = self.token
        self._next(self._end)
        return word

    def _next(self, start: int) -> None:
        match = _TOKEN.match(self.text, start)
        assert match is not None  # the last alternative of a sign matches any character
        self.number, self.unit = match["number"], match["unit"]
        self.token = match["number"] or match["name"] or match["sign"] or ""  # "" at the end
        self._end = match.end()
        self.offset = match.end() - len(match[0].lstrip())

    def _emit(self, name: str, arity: int, offset: int) -> None:
        self._ops.append(Op("call", name, arity, offset))

    def _level(self, level: int) -> None:
        if level == len(_LEVELS):
            self._sign()
            return
        offset, count = self.offset, 0
        if level == _COMPARISONS and self.take("not"):  # negates a whole comparison, while ~ binds like unary minus
            self._nested(lambda: self._level(level))
            self._emit("~", 1, offset)
            return
        self._level(level + 1)
        offset = self.offset
        while sign := self.take(*_LEVELS[level]):
            if level == _COMPARISONS and count:
                raise self.error("comparisons cannot be chained; write (a < b) & (b < c)", offset)
            self._level(level + 1)
            self._emit(sign, 2, offset)
            offset, count = self.offset, count + 1

    def _nested(self, parse: Callable[[], None]) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self.error(f"nested more than {_MAX_DEPTH} levels deep")
        parse()
        self._depth -= 1

    def _sign(self) -> None:
        offset = self.offset
        sign = self.take("+", "-", "~")
        if sign is None:
            self._power()
            return
        start = len(self._ops)
        self._nested(self._sign)
        if sign == "~":
            self._emit("~", 1, offset)
        elif sign == "-":
            operand = self._ops[start]
            if len(self._ops) == start + 1 and isinstance(operand.value, float):
                self._ops[start] = Op("number", -operand.value, 0, offset)
            else:
                self._emit("negative", 1, offset)

    def _power(self) -> None:
        self._atom()
        offset = self.offset
        if self.take("**"):
            self._nested(self._sign)
            self._emit("**", 2, offset)

    def _atom(self) -> None:
        offset = self.offset
        if self.number is not None:
            self._number(offset)
        elif self.take("("):
            self._nested(lambda: self._level(0))
            self._close(offset)
        elif (name := self.word()) is not None:
            open_offset = self.offset
            if self.take("("):
                self._call(name, offset, open_offset)
            else:
                self._variable(name, offset)
        else:
            raise self.error("expected a number, a variable or a function" if self.token else "incomplete expression")

    def _number(self, offset: int) -> None:
        value = float(self.token)
        if isinf(value):
            raise self.error("number too large")
        self._ops.append(Op("number", value, 0, offset))
        unit = self.unit
        self._next(self._end)
        if unit == "s":
            self._ops.append(Op("name", "fps", 0, offset))
            self._emit("*", 2, offset)
        elif unit == "b":
            self._emit(BEATS, 1, offset)

    def _variable(self, name: str, offset: int) -> None:
        if name in FUNCTIONS:
            raise self.error(f"{name} is a function; write {name}(...)", offset)
        if name not in VARIABLES and name not in CONSTANTS:
            raise self.error(str(unknown("variable", name, (*VARIABLES, *CONSTANTS))), offset)
        self._ops.append(Op("name", name, 0, offset))

    def _call(self, name: str, offset: int, open_offset: int) -> None:
        if name not in FUNCTIONS:
            if name in VARIABLES or name in CONSTANTS:
                raise self.error(f"{name} is not a function; write {name}*(...) to multiply", offset)
            raise self.error(str(unknown("function", name, FUNCTIONS)), offset)
        least, most, _ = FUNCTIONS[name]
        count = 0
        if not self.take(")"):
            self._nested(lambda: self._level(0))
            count = 1
            while self.take(","):
                self._nested(lambda: self._level(0))
                count += 1
            self._close(open_offset)
        if not least <= count <= most:
            allowed = str(least) if least == most else f"{least} or more" if most == 99 else f"{least} or {most}"
            raise self.error(f"{name} takes {allowed} argument{'s' * (allowed != '1')}, not {count}", offset)
        self._emit(name, count, offset)

    def _close(self, open_offset: int) -> None:
        if self.take(")"):
            return
        if not self.token:
            raise self.error("this parenthesis is not closed", open_offset)
        raise self.unexpected(f"expected ')' to match the '(' at character {open_offset + 1}")

    def unexpected(self, reason: str) -> ParseError:
        """The error for an unexpected token: `reason`, or a hint for a common mistake."""
        if self.token in ("^", "="):
            return self.error("write ** for powers" if self.token == "^" else "write == to compare")
        return self.error(reason)


def error_at(text: str, name: str, reason: str, offset: int) -> ParseError:
    """A one-line error that quotes the text at `offset`."""
    excerpt = "".join(char if char.isprintable() else " " for char in text[offset : offset + 20])
    near = f", at '{excerpt}'" if offset < len(text) else ", at the end"
    return ParseError(f"{name}, character {offset + 1}{near}: {reason}", text, offset)
