"""Reads calls that are written as a Python list, `[f(a=1), g()]`, from text that comes in parts.

A call is told of when it is complete: only then is it known that its arguments are literals.
"""

import re
from enum import Enum, auto

from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.json_span import Progress
from chat_formats.tool_calls.python_literals import NotLiteral, arguments_as_json

_SPACE = " \t\r\n"
_MAX_NAME_CHARACTERS = 1000
_NAME_CHARACTERS = re.compile(r"[\w.:/-]*")
_SIGN = re.compile(r"""["'(){}\[\]]""")
_STRING_SIGN = {'"': re.compile(r'["\\]'), "'": re.compile(r"['\\]")}
_CLOSERS = {"(": ")", "[": "]", "{": "}"}


class _Place(Enum):
    OPENING = auto()
    NAME = auto()
    ARGUMENTS = auto()
    COMMA_OR_END = auto()


class PythonCalls:
    """`known` are the names that make a call."""

    def __init__(self, emitter: Emitter, known: frozenset[str]) -> None:
        self.progress = Progress.OPEN
        self.has_begun = False
        self._emitter = emitter
        self._known = known
        self._place = _Place.OPENING
        self._name = ""
        self._call = _Parentheses()
        self._arguments: list[str] = []
        self._read: list[str] = []

    def feed(self, text: str, at: int) -> int:
        """Reads on from `at`; gives the place of the first character that was not read."""
        while at < len(text) and self.progress is Progress.OPEN:
            start, at = at, self._next(text, at)
            self._read.append(text[start:at])
            if self._place is _Place.ARGUMENTS and self._call.progress is Progress.DONE:
                self._take_call()
        return at

    @property
    def unsaid(self) -> str:
        """What was read and told nobody."""
        return "".join(self._read)

    def _next(self, text: str, at: int) -> int:
        if self._place is _Place.ARGUMENTS:
            return self._read_arguments(text, at)
        if self._place is _Place.NAME:
            return self._read_name(text, at)
        return at + 1 if text[at] in _SPACE else self._sign(text, at)

    def _sign(self, text: str, at: int) -> int:
        sign = text[at]
        is_opening = self._place is _Place.OPENING and sign == "["
        is_comma = self._place is _Place.COMMA_OR_END and sign == ","
        if is_opening or is_comma:
            self._place = _Place.NAME
        elif self._place is _Place.COMMA_OR_END and sign == "]":
            self.progress = Progress.DONE
        else:
            self.progress = Progress.FAILED
            return at
        return at + 1

    def _read_name(self, text: str, at: int) -> int:
        if not self._name and text[at] in _SPACE:
            return at + 1
        found = _NAME_CHARACTERS.match(text, at)
        assert found is not None, "it matches nothing at least"
        self._name += found.group()
        at = found.end()
        if at < len(text):
            is_call = text[at] == "(" and self._name in self._known
            if not is_call:
                self.progress = Progress.FAILED
                return at
            self._place, self._call = _Place.ARGUMENTS, _Parentheses()
        elif len(self._name) > _MAX_NAME_CHARACTERS:
            self.progress = Progress.FAILED
        return at

    def _read_arguments(self, text: str, at: int) -> int:
        start, at = at, self._call.feed(text, at)
        self._arguments.append(text[start:at])
        if self._call.progress is Progress.FAILED:
            self.progress = Progress.FAILED
        return at

    def _take_call(self) -> None:
        inner = "".join(self._arguments)[1:-1]
        try:
            written = arguments_as_json(inner)
        except NotLiteral:
            self.progress = Progress.FAILED
            return
        self.has_begun = True
        self._emitter.call(self._name)
        self._emitter.arguments(written)
        self._emitter.complete()
        self._name, self._arguments, self._read = "", [], []
        self._place = _Place.COMMA_OR_END


class _Parentheses:
    """Finds the end of a text in parentheses, strings in it left alone."""

    def __init__(self) -> None:
        self.progress = Progress.OPEN
        self._closers: list[str] = []
        self._quote = ""
        self._is_escaped = False

    def feed(self, text: str, at: int) -> int:
        while at < len(text) and self.progress is Progress.OPEN:
            if self._is_escaped:
                self._is_escaped = False
                at += 1
                continue
            pattern = _STRING_SIGN[self._quote] if self._quote else _SIGN
            found = pattern.search(text, at)
            if found is None:
                return len(text)
            at = found.end() if self._take(found.group()) else found.start()
        return at

    def _take(self, sign: str) -> bool:
        """Whether the sign belongs to the text."""
        if self._quote:
            self._is_escaped = sign == "\\"
            self._quote = "" if sign == self._quote else self._quote
        elif sign in "\"'":
            self._quote = sign
        elif sign in _CLOSERS:
            self._closers.append(_CLOSERS[sign])
        elif sign == self._closers[-1]:
            self._closers.pop()
            self.progress = self.progress if self._closers else Progress.DONE
        else:
            self.progress = Progress.FAILED
            return False
        return True
