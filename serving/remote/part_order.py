"""Owns the order of an answer's parts: one after the other, whatever order a server sends them in.

A server may send pieces of several calls by turns; here a call's arguments come whole before the
next part begins, as a local model's do. What comes too early is held back, up to a limit.
"""

import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from chat_formats.tool_calls.json_span import JsonSpan, Progress
from core.events import AnswerPart, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStarted

MAX_HELD_CHARACTERS = 1 << 18


@dataclass(slots=True)
class Call:
    """A call under way. `index` counts from 0 in the order in which calls begin. Without an id, it
    is given one when it is first told.
    """

    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    has_started: bool = False
    has_passed: bool = False
    _span: JsonSpan = field(default_factory=JsonSpan)

    @property
    def is_whole(self) -> bool:
        return bool(self.name) and self._span.progress is Progress.DONE

    def add(self, arguments: str) -> None:
        self.pieces.append(arguments)
        begun = arguments if self._span.kind else arguments.lstrip()
        self._span.feed(begun, 0)

    def take(self) -> Iterator[AnswerPart]:
        """What can be told of it now: nothing before its name is known."""
        if not self.name:
            return
        if not self.has_started:
            self.has_started = True
            self.id = self.id or f"call_{uuid.uuid4().hex[:24]}"
            yield ToolCallStarted(self.index, self.id, self.name)
        if self.pieces:
            yield ToolCallDelta(self.index, "".join(self.pieces))
            self.pieces.clear()


@dataclass(slots=True)
class _Speech:
    """Text, or thoughts, without anything between."""

    kind: type[TextDelta] | type[ReasoningDelta]
    pieces: list[str] = field(default_factory=list)
    is_whole = True

    def take(self) -> Iterator[AnswerPart]:
        if self.pieces:
            yield self.kind("".join(self.pieces))
            self.pieces.clear()


class PartOrder:
    """Add parts as they come, then take what may be told. Raises ValueError for what can't be put
    in order.
    """

    def __init__(self) -> None:
        self._waiting: deque[Call | _Speech] = deque()
        self._num_held = 0

    def say(self, kind: type[TextDelta] | type[ReasoningDelta], text: str) -> None:
        last = self._waiting[-1] if self._waiting else None
        if not isinstance(last, _Speech) or last.kind is not kind:
            last = _Speech(kind)
            self._waiting.append(last)
        last.pieces.append(text)
        self._num_held += len(text)

    def begin(self, call: Call) -> None:
        self._waiting.append(call)

    def argue(self, call: Call, arguments: str) -> None:
        """More of a call's arguments. White space behind those of a whole one is left out."""
        if not call.has_passed:
            call.add(arguments)
            self._num_held += len(arguments)
        elif arguments.strip():
            raise ValueError("more arguments of a call that had ended")

    def take(self) -> list[AnswerPart]:
        """What may be told now."""
        taken = list(self._taken(is_end=False))
        if self._num_held > MAX_HELD_CHARACTERS:
            raise ValueError("too much of its calls comes out of order")
        return taken

    def flush(self) -> list[AnswerPart]:
        """All that is left, at the answer's end."""
        return list(self._taken(is_end=True))

    def _taken(self, *, is_end: bool) -> Iterator[AnswerPart]:
        while self._waiting:
            first = self._waiting[0]
            if is_end and isinstance(first, Call) and not first.name:
                raise ValueError("a call without a name")
            for part in first.take():
                self._num_held -= _size(part)
                yield part
            if not is_end and (len(self._waiting) == 1 or not first.is_whole):
                return
            self._waiting.popleft()
            if isinstance(first, Call):
                first.has_passed = True


def _size(part: AnswerPart) -> int:
    match part:
        case TextDelta(text) | ReasoningDelta(text):
            return len(text)
        case ToolCallDelta(_, arguments):
            return len(arguments)
        case _:
            return 0
