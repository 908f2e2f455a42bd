"""Finds where a JSON value ends in text that comes in parts. Checks its brackets, not its words.

Linear in the text, whatever it holds: no part is looked at twice.
"""

import re
from enum import Enum, auto

_BRACKET_OR_QUOTE = re.compile(r'["{}\[\]]')
_QUOTE_OR_ESCAPE = re.compile(r'["\\]')
_NO_SCALAR = re.compile(r"[^A-Za-z0-9+.\-]")
_CLOSERS = {"{": "}", "[": "]"}


class Progress(Enum):
    """Whether a reader wants more text, has all of its own, or met what can't be its own."""

    OPEN = auto()
    DONE = auto()
    FAILED = auto()


class JsonSpan:
    """One value, from its first character on. `kind` is that character, empty before it."""

    def __init__(self) -> None:
        self.progress = Progress.OPEN
        self.kind = ""
        self._closers: list[str] = []
        self._is_in_string = False
        self._is_escaped = False

    def feed(self, text: str, at: int) -> int:
        """Reads on from `at`; gives the place of the first character that was not read."""
        while at < len(text) and self.progress is Progress.OPEN:
            if not self.kind:
                at = self._begin(text, at)
            elif self._is_in_string:
                at = self._string(text, at)
            elif self._closers:
                at = self._brackets(text, at)
            else:
                at = self._scalar(text, at)
        return at

    def _begin(self, text: str, at: int) -> int:
        first = text[at]
        if _NO_SCALAR.match(first) and first not in '"{[':
            self.progress = Progress.FAILED
            return at
        self.kind = first
        self._is_in_string = first == '"'
        if first in _CLOSERS:
            self._closers.append(_CLOSERS[first])
        return at + 1

    def _string(self, text: str, at: int) -> int:
        if self._is_escaped:
            self._is_escaped = False
            return at + 1
        found = _QUOTE_OR_ESCAPE.search(text, at)
        if found is None:
            return len(text)
        if found.group() == "\\":
            self._is_escaped = True
        else:
            self._is_in_string = False
            self._end_if_outside()
        return found.end()

    def _brackets(self, text: str, at: int) -> int:
        found = _BRACKET_OR_QUOTE.search(text, at)
        if found is None:
            return len(text)
        sign = found.group()
        if sign == '"':
            self._is_in_string = True
        elif sign in _CLOSERS:
            self._closers.append(_CLOSERS[sign])
        elif sign == self._closers[-1]:
            self._closers.pop()
            self._end_if_outside()
        else:
            self.progress = Progress.FAILED
            return found.start()
        return found.end()

    def _scalar(self, text: str, at: int) -> int:
        found = _NO_SCALAR.search(text, at)
        if found is None:
            return len(text)
        self.progress = Progress.DONE
        return found.start()

    def _end_if_outside(self) -> None:
        if not self._closers:
            self.progress = Progress.DONE
