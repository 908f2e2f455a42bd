"""Collects what an answer turned out to hold: text, and calls with their ids. Parses nothing."""

from collections.abc import Callable

from core.events import AnswerPart, TextDelta, ToolCallDelta, ToolCallStarted


class Emitter:
    """The parts that were found since they were last taken. `new_id` makes the calls' ids."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._parts: list[AnswerPart] = []
        self.num_calls = 0
        self.num_complete = 0

    def text(self, text: str) -> None:
        if text:
            self._parts.append(TextDelta(text))

    def call(self, name: str) -> None:
        """A call begins; what follows of arguments is its own."""
        self._parts.append(ToolCallStarted(self.num_calls, self._new_id(), name))
        self.num_calls += 1

    def arguments(self, text: str) -> None:
        if text:
            self._parts.append(ToolCallDelta(self.num_calls - 1, text))

    def complete(self) -> None:
        """The calls that have begun have ended."""
        self.num_complete = self.num_calls

    def take(self) -> list[AnswerPart]:
        parts, self._parts = self._parts, []
        return parts
