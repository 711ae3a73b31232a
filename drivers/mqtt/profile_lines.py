"""Finds the line of a key in TOML text: `tomllib` gives none, and a fault without its line is hard to mend.

Only for text that tomllib has read without complaint: what is valid need not be checked again.
"""

import re
from typing import Any

Path = tuple[str | int, ...]
"""A way into the document: names of keys and numbers of list items, counted from 0."""

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n]+")


class Locator:
    """Where each key of a document stands."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._places: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._document()

    def line(self, path: Path) -> int:
        """The line, counted from 1, of this key; of what holds it, when there is no such key; 1 when nothing is known."""
        while path:
            if path in self._places:
                return self._text.count("\n", 0, self._places[path]) + 1
            path = path[:-1]
        return 1

    def has(self, path: Path) -> bool:
        """Is this key written?"""
        return path in self._places

    def _document(self) -> None:
        table: Path = ()
        while True:
            self._skip(_SPACE)
            start = self._at
            if start >= len(self._text):
                return
            if self._text[start] == "[":
                is_list = self._text.startswith("[[", start)
                self._at += 2 if is_list else 1
                table = self._header(self._key(), is_list)
                self._places[table] = start
                end = self._text.find("]", self._at)
                self._at = len(self._text) if end < 0 else end + (2 if is_list else 1)
            else:
                self._pair(table)

    def _header(self, names: list[str], is_list: bool) -> Path:
        """The full path of a header: names of lists of tables mean their last table."""
        path: Path = ()
        for number, name in enumerate(names):
            path = (*path, name)
            if is_list and number == len(names) - 1:
                count = self._counts.get(path, 0)
                self._counts[path] = count + 1
                return (*path, count)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _pair(self, table: Path) -> None:
        start = self._at
        path = (*table, *self._key())
        for length in range(len(table) + 1, len(path) + 1):
            self._places.setdefault(path[:length], start)
        self._skip(_BLANK)
        self._at += 1  # the equals sign
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip(_SPACE)
        text, at = self._text, self._at
        if text.startswith('"""', at):
            self._skip(_LONG_BASIC)
        elif text.startswith("'''", at):
            self._skip(_LONG_LITERAL)
        elif text.startswith('"', at):
            self._skip(_BASIC)
        elif text.startswith("'", at):
            self._skip(_LITERAL)
        elif text.startswith("[", at):
            self._items(path)
        elif text.startswith("{", at):
            self._inline(path)
        else:
            self._skip(_SCALAR)

    def _items(self, path: Path) -> None:
        self._at += 1
        number = 0
        while True:
            self._skip(_SPACE)
            if self._is_done("]"):
                return
            self._places[(*path, number)] = self._at
            self._value((*path, number))
            number += 1
            self._skip(_SPACE)
            self._is_done(",")

    def _inline(self, path: Path) -> None:
        self._at += 1
        while True:
            self._skip(_SPACE)
            if self._is_done("}"):
                return
            self._pair(path)
            self._skip(_SPACE)
            self._is_done(",")

    def _is_done(self, mark: str) -> bool:
        is_there = self._at >= len(self._text) or self._text[self._at] == mark
        self._at += is_there
        return is_there

    def _key(self) -> list[str]:
        """A dotted key; the escapes of quoted ones stay as they stand, as no profile needs any."""
        names: list[str] = []
        while True:
            self._skip(_BLANK)
            found: Any = _BASIC.match(self._text, self._at) or _LITERAL.match(self._text, self._at)
            if found is not None:
                names.append(found[0][1:-1])
            else:
                found = _BARE.match(self._text, self._at)
                if found is None:  # not valid TOML after all: go on, so that this ends
                    self._at += 1
                    return [*names, ""]
                names.append(found[0])
            self._at = found.end()
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return names
            self._at += 1

    def _skip(self, what: re.Pattern[str]) -> None:
        found = what.match(self._text, self._at)
        self._at = found.end() if found is not None and found.end() > self._at else self._at + (what not in (_SPACE, _BLANK))
