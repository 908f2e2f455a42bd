"""Finds calls that a marker opens, anywhere in an answer.

Text stays text: an opening that no call follows is given out as it came. White space beside a call
belongs to its markup, but that before calls parts the text there from text that follows them.
"""

from collections.abc import Callable
from enum import Enum, auto

from chat_formats.tool_calls.call_lists import CallReader
from chat_formats.tool_calls.call_object import SPACE
from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.json_span import Progress
from chat_formats.tool_calls.partial import partial_length
from chat_formats.tool_calls.syntax import CallSyntax
from core.events import AnswerPart


class _Place(Enum):
    TEXT = auto()
    CALL = auto()
    CLOSING = auto()


class MarkedCalls:
    """Feed text as it comes, then flush. Linear in the text."""

    def __init__(
        self, syntax: CallSyntax, emitter: Emitter, make_reader: Callable[[], CallReader]
    ) -> None:
        self._opening, self._closing = syntax.opening, syntax.closing
        self._emitter = emitter
        self._make_reader = make_reader
        self._reader: CallReader
        self._place = _Place.TEXT
        self._gap: list[str] = []
        self._held = ""
        self._is_after_call = False
        self._has_said = False

    @property
    def is_calling(self) -> bool:
        """Whether the text is behind an opening, and no call has ended yet."""
        return self._place is not _Place.TEXT

    def feed(self, text: str) -> list[AnswerPart]:
        text, self._held = self._held + text, ""
        at = 0
        while at < len(text):
            if self._place is _Place.TEXT:
                at = self._text(text, at)
            elif self._place is _Place.CALL:
                at = self._call(text, at)
            else:
                at = self._close(text, at)
        return self._emitter.take()

    def flush(self) -> list[AnswerPart]:
        """What was held back, once the answer is over."""
        if self._place is _Place.CALL:
            self._give_back()
        elif self._held or not self._is_after_call:
            self._say_gap()
        self._emitter.text(self._held)
        return self._emitter.take()

    def _text(self, text: str, at: int) -> int:
        found = text.find(self._opening, at)
        if found >= 0:
            self._pass_on(text[at:found])
            self._place, self._reader = _Place.CALL, self._make_reader()
            return found + len(self._opening)
        end = len(text) - partial_length(text, at, self._opening)
        self._pass_on(text[at:end])
        self._held = text[end:]
        return len(text)

    def _pass_on(self, text: str) -> None:
        """White space waits: it may stand before a call."""
        body = text.rstrip(SPACE)
        if body:
            self._say_gap()
            self._emitter.text(body.lstrip(SPACE) if self._is_after_call else body)
            self._is_after_call, self._has_said = False, True
        if not self._is_after_call:
            self._gap.append(text[len(body) :])

    def _say_gap(self) -> None:
        """Behind a call, space that came before it; none where nothing was said there."""
        if self._has_said or not self._is_after_call:
            self._emitter.text("".join(self._gap))
        self._gap = []

    def _call(self, text: str, at: int) -> int:
        at = self._reader.feed(text, at)
        if self._reader.progress is Progress.DONE:
            self._end_call(_Place.CLOSING if self._closing else _Place.TEXT)
        elif self._reader.progress is Progress.FAILED:
            self._give_back()
            self._place = _Place.TEXT
        return at

    def _end_call(self, place: _Place) -> None:
        self._is_after_call, self._place = True, place
        if place is _Place.TEXT:
            self._emitter.complete()

    def _give_back(self) -> None:
        """What turned out to be no call. What a begun call has told of stays told."""
        if self._reader.has_begun:
            self._end_call(_Place.TEXT)
        unsaid = self._reader.unsaid
        text = unsaid if self._reader.has_begun else self._opening + unsaid
        if text:
            self._say_gap()
            self._emitter.text(text)
            self._is_after_call, self._has_said = self._reader.has_begun, True

    def _close(self, text: str, at: int) -> int:
        """The closing is taken for said where a model leaves it out."""
        while at < len(text) and text[at] in SPACE:
            at += 1
        if text.startswith(self._closing, at):
            self._end_call(_Place.TEXT)
            return at + len(self._closing)
        if self._closing.startswith(text[at:]):
            self._held = text[at:]
            return len(text)
        self._end_call(_Place.TEXT)
        return at
