"""Reads an answer that is one JSON object: `{"response": "…"}` or `{"tool_calls": [calls]}`.

That is what models answer whose chat format has no tools; a grammar holds them to it. What is no
such object stays text.
"""

from collections.abc import Callable
from enum import Enum, auto

from chat_formats.tool_calls.call_lists import CallList
from chat_formats.tool_calls.call_object import SPACE, CallObject
from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.json_span import Progress
from chat_formats.tool_calls.string_text import StringText
from core.events import AnswerPart

TEXT_KEY = "response"
CALLS_KEY = "tool_calls"
_HEADS = {f'{{"{TEXT_KEY}":"': TEXT_KEY, f'{{"{CALLS_KEY}":': CALLS_KEY}


class _Place(Enum):
    HEAD = auto()
    CALLS = auto()
    RESPONSE = auto()
    TAIL = auto()
    TEXT = auto()


class AnswerObject:
    """Feed text as it comes, then flush. Linear in the text."""

    def __init__(self, emitter: Emitter, make_object: Callable[[], CallObject]) -> None:
        self._emitter = emitter
        self._list = CallList(emitter, make_object)
        self._response = StringText()
        self._place = _Place.HEAD
        self._read: list[str] = []
        self._head = ""

    @property
    def is_calling(self) -> bool:
        """Whether the text is outside what is said: in the object's own markup, or in calls."""
        return self._place not in (_Place.RESPONSE, _Place.TEXT)

    def feed(self, text: str) -> list[AnswerPart]:
        at = 0
        while at < len(text):
            at = self._next(text, at)
        return self._emitter.take()

    def flush(self) -> list[AnswerPart]:
        """What was held back, once the answer is over."""
        if self._place is _Place.HEAD:
            self._emitter.text("".join(self._read))
        elif self._place is _Place.CALLS:
            self._give_back()
        elif self._place is _Place.RESPONSE:
            self._response.flush()
            self._say_response()
        return self._emitter.take()

    def _next(self, text: str, at: int) -> int:
        match self._place:
            case _Place.HEAD:
                return self._read_head(text, at)
            case _Place.CALLS:
                return self._read_calls(text, at)
            case _Place.RESPONSE:
                return self._read_response(text, at)
            case _Place.TAIL:
                return self._read_tail(text, at)
            case _Place.TEXT:
                self._emitter.text(text[at:])
                return len(text)

    def _read_head(self, text: str, at: int) -> int:
        start = at
        while at < len(text) and text[at] in SPACE:
            at += 1
        self._read.append(text[start : at + 1])
        self._head += text[at : at + 1]
        key = _HEADS.get(self._head)
        if key is not None:
            self._place = _Place.RESPONSE if key == TEXT_KEY else _Place.CALLS
        elif not any(head.startswith(self._head) for head in _HEADS):
            self._place = _Place.TEXT
            self._emitter.text("".join(self._read))
        return at + 1

    def _read_calls(self, text: str, at: int) -> int:
        at = self._list.feed(text, at)
        if self._list.progress is Progress.DONE:
            self._place = _Place.TAIL
        elif self._list.progress is Progress.FAILED:
            self._give_back()
            self._place = _Place.TEXT
        return at

    def _give_back(self) -> None:
        self._emitter.text(
            self._list.unsaid if self._list.has_begun else "".join(self._read) + self._list.unsaid
        )

    def _read_response(self, text: str, at: int) -> int:
        at = self._response.feed(text, at)
        self._say_response()
        if self._response.progress is Progress.DONE:
            self._place = _Place.TAIL
        return at

    def _say_response(self) -> None:
        self._emitter.text(self._response.said)
        self._response.said = ""

    def _read_tail(self, text: str, at: int) -> int:
        """The closing brace, and space; what else comes is text."""
        if text[at] not in SPACE + "}":
            self._place = _Place.TEXT
            return at
        return at + 1
