"""Where things stand in a TOML file: the line of every key and element, which Python's own reader does not tell."""

from __future__ import annotations

import re
from typing import TypeAlias

Place: TypeAlias = tuple[str | int, ...]  # ("section", 2, "zoom"): keys, and numbers of elements

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"[ \t]*(?:([A-Za-z0-9_-]+)|\"((?:[^\"\\\n]|\\.)*)\"|'([^'\n]*)')[ \t]*(\.?)")
_TEXT = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL)
_PLAIN = re.compile(r"[^,\]}#\n]*")


def find_places(text: str) -> dict[Place, int]:
    """The line, from 1, of each key, table and element of an array in a text that tomllib can read."""
    return _Finder(text).found


class _Finder:
    """A place in the text, and what was found so far."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: dict[Place, int] = {}
        self._counts: dict[Place, int] = {}  # of arrays of tables
        table: Place = ()
        while self._skip():
            if text[self.at] == "[":
                table = self._heading()
            else:
                self._pair(table)

    def _skip(self) -> bool:
        """Step over space and comments; whether anything comes behind them."""
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at < len(self.text)

    def _note(self, place: Place) -> None:
        self.found.setdefault(place, self.text.count("\n", 0, self.at) + 1)

    def _heading(self) -> Place:
        many = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 1 + many
        *outer, last = self._keys()
        place: Place = ()
        for key in outer:
            place = self._newest((*place, key))
        place = (*place, last)
        if many:
            self._counts[place] = self._counts.get(place, 0) + 1
            place = self._newest(place)
        end = self.text.find("\n", self.at)
        self.at = start
        self._note(place)
        self.at = end if end >= 0 else len(self.text)
        return place

    def _newest(self, place: Place) -> Place:
        """Into the last element, where it is an array of tables."""
        return (*place, self._counts[place] - 1) if place in self._counts else place

    def _keys(self) -> list[str]:
        keys = []
        while found := _KEY.match(self.text, self.at):
            keys.append(next(each for each in found.groups()[:3] if each is not None))
            self.at = found.end()
            if not found[4]:
                break
        if not keys:  # no key that can be read here: nothing more can be told
            self.at = len(self.text)
            return [""]
        return keys

    def _pair(self, table: Place) -> None:
        start = self.at
        place = (*table, *self._keys())
        end, self.at = self.at, start
        self._note(place)
        self.at = end + 1  # the "="
        self._value(place)

    def _value(self, place: Place) -> None:
        if not self._skip():
            return
        opened = self.text[self.at]
        if opened not in "[{":
            found = (_TEXT if opened in "\"'" else _PLAIN).match(self.text, self.at)
            self.at = max(self.at + 1, found.end()) if found else len(self.text)
            return
        self.at += 1
        number = 0
        while self._skip() and self.text[self.at] not in "]}":
            if self.text[self.at] == ",":
                self.at += 1
            elif opened == "{":
                self._pair(place)
            else:
                self._note((*place, number))
                self._value((*place, number))
                number += 1
        self.at += 1
