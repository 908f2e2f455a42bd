"""Owns a response's output: how the events of a generation become its items and output events.

Items come one after another: what is said of one ends before the next begins. Knows no stream.
"""

from collections.abc import Sequence
from typing import Any

from api.logprobs import chat_tokens
from api.responses.output_items import (
    CallOutput,
    MessageOutput,
    OutputEvent,
    OutputItem,
    ReasoningOutput,
    Shown,
)
from core.events import GenerationEvent, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStarted
from core.scores import ScoredToken
from core.vocabulary import Vocabulary


class ScoreView:
    """How scores are shown: with `num_top` best ones each, or not at all where it is None, or no
    vocabulary is known.
    """

    def __init__(self, vocabulary: Vocabulary | None, num_top: int | None) -> None:
        self._vocabulary = vocabulary
        self._num_top = num_top

    def whole(self, scores: Sequence[ScoredToken]) -> list[Shown]:
        """As an item has them."""
        if self._num_top is None or self._vocabulary is None or not scores:
            return []
        return list(chat_tokens(self._vocabulary, scores, self._num_top))


class Output:
    """All items of one response. Each call gives the events that it makes, in their order."""

    def __init__(self, scores: ScoreView) -> None:
        self._scores = scores
        self._done: list[dict[str, Any]] = []
        self._open: OutputItem | None = None
        self._waiting_scores: list[ScoredToken] = []

    def add(self, event: GenerationEvent) -> list[OutputEvent]:
        """Of an event that is no part of an answer nothing is said."""
        match event:
            case TextDelta():
                return self._add_text(event)
            case ReasoningDelta(text):
                return self._add_thought(text)
            case ToolCallStarted():
                return self._opened(CallOutput(event))
            case ToolCallDelta(_, arguments) if arguments:
                assert isinstance(self._open, CallOutput), "calls come one after another"
                return self._placed([self._open.delta(arguments)])
            case _:
                return []

    def end(self, *, is_complete: bool) -> list[OutputEvent]:
        """An answer that is complete says something, if only an empty text."""
        events: list[OutputEvent] = []
        if is_complete and not self._answers:
            events += self._opened(MessageOutput())
        return events + self._closed("completed" if is_complete else "incomplete")

    def whole(self) -> list[dict[str, Any]]:
        """The items until now; one that has not ended is incomplete."""
        return self._done + ([] if self._open is None else [self._open.whole("incomplete")])

    @property
    def _answers(self) -> bool:
        """Whether there is more than thoughts."""
        is_open = self._open is not None and not isinstance(self._open, ReasoningOutput)
        return is_open or any(item["type"] != "reasoning" for item in self._done)

    def _add_text(self, delta: TextDelta) -> list[OutputEvent]:
        """Scores without text wait: no item is opened for them."""
        self._waiting_scores += delta.scores
        events: list[OutputEvent] = []
        if not isinstance(self._open, MessageOutput):
            if not delta.text:
                return []
            events += self._opened(MessageOutput())
        assert isinstance(self._open, MessageOutput)
        scores = self._scores.whole(self._waiting_scores)
        self._waiting_scores.clear()
        if not delta.text and not scores:
            return events
        return events + self._placed([self._open.delta(delta.text, scores)])

    def _add_thought(self, text: str) -> list[OutputEvent]:
        if not text:
            return []
        events: list[OutputEvent] = []
        if not isinstance(self._open, ReasoningOutput):
            events += self._opened(ReasoningOutput())
        assert isinstance(self._open, ReasoningOutput)
        return events + self._placed([self._open.delta(text)])

    def _opened(self, item: OutputItem) -> list[OutputEvent]:
        events = self._closed("completed")
        self._open = item
        added = {"type": "response.output_item.added", "item": item.whole("in_progress")}
        return events + self._placed([added, *item.opening()])

    def _closed(self, status: str) -> list[OutputEvent]:
        if self._open is None:
            return []
        whole = self._open.whole(status)
        done = {"type": "response.output_item.done", "item": whole}
        events = self._placed([*self._open.closing(), done])
        self._done.append(whole)
        self._open = None
        return events

    def _placed(self, events: list[OutputEvent]) -> list[OutputEvent]:
        """With the place of the open item in the output."""
        return [{**event, "output_index": len(self._done)} for event in events]
