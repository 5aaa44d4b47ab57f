"""Line numbers of the keys and array elements in a TOML file, which tomllib does not report."""

from __future__ import annotations

import re
from typing import TypeAlias

SourceLocation: TypeAlias = tuple[str | int, ...]  # path of keys and array indices: ("section", 2, "zoom")

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"[ \t]*(?:([A-Za-z0-9_-]+)|\"((?:[^\"\\\n]|\\.)*)\"|'([^'\n]*)')[ \t]*(\.?)")
_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
_BARE = re.compile(r"[^,\]}#\n]*")


def find_lines(text: str) -> dict[SourceLocation, int]:
    """The line, counted from 1, of each key, table and array element in a text that tomllib can parse."""
    return _Scanner(text).lines


class _Scanner:
    """Scans a TOML text and records the line of each location."""

    def __init__(self, text: str) -> None:
        self.text, self.offset = text, 0
        self.lines: dict[SourceLocation, int] = {}
        self._counts: dict[SourceLocation, int] = {}  # elements of arrays of tables
        table: SourceLocation = ()
        while self._skip_space():
            if text[self.offset] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _skip_space(self) -> bool:
        """Skip whitespace and comments; False at the end of the text."""
        match = _SPACE.match(self.text, self.offset)
        self.offset = match.end() if match else self.offset
        return self.offset < len(self.text)

    def _record(self, location: SourceLocation) -> None:
        self.lines.setdefault(location, self.text.count("\n", 0, self.offset) + 1)

    def _header(self) -> SourceLocation:
        is_array = self.text.startswith("[[", self.offset)
        start = self.offset
        self.offset += 1 + is_array
        *outer, last = self._keys()
        location: SourceLocation = ()
        for key in outer:
            location = self._last_element((*location, key))
        location = (*location, last)
        if is_array:
            self._counts[location] = self._counts.get(location, 0) + 1
            location = self._last_element(location)
        end = self.text.find("\n", self.offset)
        self.offset = start
        self._record(location)
        self.offset = end if end >= 0 else len(self.text)
        return location

    def _last_element(self, location: SourceLocation) -> SourceLocation:
        """The location of the last element of an array of tables; other locations are returned unchanged."""
        return (*location, self._counts[location] - 1) if location in self._counts else location

    def _keys(self) -> list[str]:
        keys = []
        while match := _KEY.match(self.text, self.offset):
            keys.append(next(group for group in match.groups()[:3] if group is not None))
            self.offset = match.end()
            if not match[4]:
                break
        if not keys:  # not a valid key: stop scanning
            self.offset = len(self.text)
            return [""]
        return keys

    def _pair(self, table: SourceLocation) -> None:
        start = self.offset
        location = (*table, *self._keys())
        end, self.offset = self.offset, start
        self._record(location)
        self.offset = end + 1  # the "="
        self._value(location)

    def _value(self, location: SourceLocation) -> None:
        if not self._skip_space():
            return
        first = self.text[self.offset]
        if first not in "[{":
            match = (_STRING if first in "\"'" else _BARE).match(self.text, self.offset)
            self.offset = max(self.offset + 1, match.end()) if match else len(self.text)
            return
        self.offset += 1
        index = 0
        while self._skip_space() and self.text[self.offset] not in "]}":
            if self.text[self.offset] == ",":
                self.offset += 1
            elif first == "{":
                self._pair(location)
            else:
                self._record((*location, index))
                self._value((*location, index))
                index += 1
        self.offset += 1
