"""Finds calls that stand at the very beginning of an answer, with nothing to mark them.

Only the names of tools that were offered make a call: an answer in JSON is no call.
"""

from collections.abc import Callable
from enum import Enum, auto

from chat_formats.tool_calls.call_lists import CallReader
from chat_formats.tool_calls.call_object import SPACE
from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.json_span import Progress
from chat_formats.tool_calls.syntax import CallSyntax
from core.events import AnswerPart

_BETWEEN = SPACE + ";"


class _Place(Enum):
    BEGINNING = auto()
    BETWEEN = auto()
    TEXT = auto()


class LeadingCalls:
    """Feed text as it comes, then flush. Linear in the text. `choose` makes the reader of a call
    that begins with a character, None for one that no call begins with.
    """

    def __init__(
        self,
        syntax: CallSyntax,
        emitter: Emitter,
        choose: Callable[[str], CallReader | None],
    ) -> None:
        self._tag, self._end_tag = syntax.tag, syntax.end_tag
        self._emitter = emitter
        self._choose = choose
        self._reader: CallReader | None = None
        self._place = _Place.BEGINNING
        self._before: list[str] = []
        self._held = ""

    @property
    def is_calling(self) -> bool:
        """Whether the text is inside what may be a call."""
        return self._reader is not None

    def feed(self, text: str) -> list[AnswerPart]:
        text, self._held = self._held + text, ""
        at = 0
        while at < len(text):
            if self._place is _Place.TEXT:
                self._emitter.text(text[at:])
                break
            if self._reader is not None:
                at = self._call(self._reader, text, at)
            else:
                at = self._outside(text, at)
        return self._emitter.take()

    def flush(self) -> list[AnswerPart]:
        """What was held back, once the answer is over."""
        if self._reader is not None:
            self._give_back(self._reader)
        else:
            self._end_with_text()
        self._emitter.text(self._held)
        return self._emitter.take()

    def _outside(self, text: str, at: int) -> int:
        """Before the first call, or between two."""
        is_beginning = self._place is _Place.BEGINNING
        space, tag = (SPACE, self._tag) if is_beginning else (_BETWEEN, self._end_tag)
        if text[at] in space:
            self._before.append(text[at])
            return at + 1
        is_tagged = bool(tag) and tag not in self._before
        if is_tagged and text.startswith(tag, at):
            self._before.append(tag)
            return at + len(tag)
        if is_tagged and tag.startswith(text[at:]):
            self._held = text[at:]
            return len(text)
        self._reader = self._choose(text[at])
        if self._reader is None:
            self._end_with_text()
        return at

    def _call(self, reader: CallReader, text: str, at: int) -> int:
        at = reader.feed(text, at)
        if reader.progress is Progress.DONE:
            self._before, self._place, self._reader = [], _Place.BETWEEN, None
            self._emitter.complete()
        elif reader.progress is Progress.FAILED:
            self._give_back(reader)
        return at

    def _give_back(self, reader: CallReader) -> None:
        """What turned out to be no call. What a begun call has told of stays told."""
        if reader.has_begun:
            self._before = []
            self._emitter.complete()
        self._reader = None
        self._end_with_text()
        self._emitter.text(reader.unsaid)

    def _end_with_text(self) -> None:
        """All that follows is text. Space and a tag behind a call belong to its markup."""
        before = "".join(self._before)
        is_markup = all(each in (*SPACE, self._end_tag) for each in self._before)
        self._emitter.text("" if is_markup and self._emitter.num_complete else before)
        self._before, self._place = [], _Place.TEXT
