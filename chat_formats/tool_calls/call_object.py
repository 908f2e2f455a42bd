"""Reads one call that is written as a JSON object, from text that comes in parts.

The call begins as soon as its name is known and its arguments have begun; what comes of them goes
on at once. Until then nothing has been said, and the text may turn out to be no call at all.
"""

import json
from enum import Enum, auto

from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.json_span import JsonSpan, Progress

SPACE = " \t\r\n"
_ARGUMENT_KEYS = frozenset({"arguments", "parameters"})
_OTHER_KEYS = frozenset({"id", "type"})
_MAX_NAME_CHARACTERS = 1000


class _Place(Enum):
    """What comes next in the object, white space aside."""

    OPENING = auto()
    KEY_OR_END = auto()
    KEY = auto()
    COLON = auto()
    VALUE = auto()
    COMMA_OR_END = auto()


class CallObject:
    """`known` are the names that make a call; None takes any. With `needs_arguments`, an object
    without them is no call.
    """

    def __init__(
        self, emitter: Emitter, known: frozenset[str] | None, *, needs_arguments: bool
    ) -> None:
        self.progress = Progress.OPEN
        self.has_begun = False
        self._read: list[str] = []
        self._emitter = emitter
        self._known = known
        self._needs_arguments = needs_arguments
        self._place = _Place.OPENING
        self._span = JsonSpan()
        self._value: list[str] = []
        self._key = ""
        self._name: str | None = None
        self._arguments: str | None = None

    def feed(self, text: str, at: int) -> int:
        """Reads on from `at`; gives the place of the first character that was not read."""
        start = at
        while at < len(text) and self.progress is Progress.OPEN:
            if self._span.kind or (self._place is _Place.VALUE and text[at] not in SPACE):
                at = self._read_value(text, at)
            elif text[at] in SPACE:
                at += 1
            else:
                at = self._sign(text, at)
        if not self.has_begun:
            self._read.append(text[start:at])
        return at

    @property
    def unsaid(self) -> str:
        """What was read and told nobody."""
        return "" if self.has_begun else "".join(self._read)

    def _sign(self, text: str, at: int) -> int:
        """One character between values."""
        sign, place = text[at], self._place
        if sign == '"' and place in (_Place.KEY, _Place.KEY_OR_END):
            return self._read_value(text, at)
        if sign == "{" and place is _Place.OPENING:
            self._place = _Place.KEY_OR_END
        elif sign == ":" and place is _Place.COLON:
            self._place = _Place.VALUE
        elif sign == "," and place is _Place.COMMA_OR_END:
            self._place = _Place.KEY
        elif sign == "}" and place in (_Place.KEY_OR_END, _Place.COMMA_OR_END):
            self._end()
        else:
            self.progress = Progress.FAILED
            return at
        return at + 1 if self.progress is not Progress.FAILED else at

    def _read_value(self, text: str, at: int) -> int:
        """A part of a key or of a value; arguments that can go on at once do."""
        start, at = at, self._span.feed(text, at)
        read = text[start:at]
        if self._is_streaming:
            self._begin_if_new()
            self._emitter.arguments(read)
        else:
            self._value.append(read)
        if self._span.progress is Progress.FAILED or self._is_name_too_long:
            self.progress = Progress.FAILED
        elif self._span.progress is Progress.DONE:
            self._take_value()
        return at

    @property
    def _is_streaming(self) -> bool:
        is_arguments = self._place is _Place.VALUE and self._key in _ARGUMENT_KEYS
        return is_arguments and self._name is not None and self._span.kind == "{"

    @property
    def _is_name_too_long(self) -> bool:
        is_name = self._place is not _Place.VALUE or self._key == "name"
        return is_name and sum(map(len, self._value)) > _MAX_NAME_CHARACTERS

    def _take_value(self) -> None:
        """A key or a value is complete."""
        was_streaming, kind = self._is_streaming, self._span.kind
        raw, self._value, self._span = "".join(self._value), [], JsonSpan()
        if self._place is not _Place.VALUE:
            self._take_key(raw)
            return
        self._place = _Place.COMMA_OR_END
        if self._key == "name":
            self._take_name(raw, kind)
        elif self._key in _ARGUMENT_KEYS and not was_streaming:
            self._take_arguments(raw, kind)

    def _take_key(self, raw: str) -> None:
        self._key = _text_of(raw) or ""
        self._place = _Place.COLON
        is_second = (self._key == "name" and self._name is not None) or (
            self._key in _ARGUMENT_KEYS and (self.has_begun or self._arguments is not None)
        )
        if is_second or self._key not in {"name"} | _ARGUMENT_KEYS | _OTHER_KEYS:
            self.progress = Progress.FAILED

    def _take_name(self, raw: str, kind: str) -> None:
        name = _text_of(raw) if kind == '"' else None
        if not name or (self._known is not None and name not in self._known):
            self.progress = Progress.FAILED
            return
        self._name = name
        if self._arguments is not None:
            self._begin_if_new()
            self._emitter.arguments(self._arguments)

    def _take_arguments(self, raw: str, kind: str) -> None:
        """Some models write the arguments as a text that holds JSON, or none as null."""
        written = _text_of(raw) if kind == '"' else raw
        if written is None:
            self.progress = Progress.FAILED
            return
        self._arguments = "{}" if written.strip() in ("", "null") else written
        if self._name is not None:
            self._begin_if_new()
            self._emitter.arguments(self._arguments)

    def _begin_if_new(self) -> None:
        if not self.has_begun and self._name is not None:
            self.has_begun = True
            self._emitter.call(self._name)

    def _end(self) -> None:
        if self._name is None or (self._needs_arguments and not self.has_begun):
            self.progress = Progress.FAILED
            return
        self.progress = Progress.DONE
        if not self.has_begun:
            self._begin_if_new()
            self._emitter.arguments("{}")


def _text_of(raw: str) -> str | None:
    """What a JSON string says; None where it is broken."""
    try:
        text = json.loads(raw, strict=False)
        text.encode()
    except (ValueError, AttributeError):
        return None
    return str(text)
