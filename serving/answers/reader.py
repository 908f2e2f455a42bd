"""Reads an answer's text: what is thought, said, and called. Knows no ids and no engine."""

import uuid

from chat_formats.thoughts import ThoughtSplitter, ThoughtState
from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.parsing import call_parser
from core.events import AnswerPart, ReasoningDelta, TextDelta, ToolCallStarted
from serving.answers.rules import AnswerRules


class AnswerReader:
    """Feed text as it comes, then flush. The same parts however the text is cut."""

    def __init__(self, rules: AnswerRules) -> None:
        thoughts = rules.thoughts
        self._splitter = (
            None if thoughts is None else ThoughtSplitter(thoughts.syntax, is_open=thoughts.is_open)
        )
        self._rules = rules
        self.ends_with_call = rules.calls is not None and not rules.calls.is_parallel
        self._begin_answer()

    def _begin_answer(self) -> None:
        calls = self._rules.calls
        self._emitter = Emitter(_new_id)
        self._calls = (
            None if calls is None else call_parser(calls.syntax, calls.names, self._emitter)
        )

    @property
    def is_plain(self) -> bool:
        """Whether all that comes from here on is text of the answer."""
        return self._calls is None and self.is_answering

    @property
    def is_thinking(self) -> bool:
        return self._splitter is not None and self._splitter.state is ThoughtState.THINKING

    @property
    def is_answering(self) -> bool:
        """Whether what follows belongs to the answer, thoughts and the space behind them past."""
        state = None if self._splitter is None else self._splitter.state
        return state in (None, ThoughtState.ANSWERING)

    @property
    def has_thought(self) -> bool:
        """Whether a block of thoughts has ended."""
        return self._splitter is not None and self._splitter.has_closed

    @property
    def has_gap(self) -> bool:
        """Whether something came behind a block of thoughts, be it space."""
        return self._splitter is not None and self._splitter.has_gap

    @property
    def has_call(self) -> bool:
        return self._emitter.num_calls > 0

    @property
    def is_calling(self) -> bool:
        """Whether what follows belongs to what may be a call."""
        return self._calls is not None and self._calls.is_calling

    @property
    def is_over(self) -> bool:
        """Whether the one call that an answer may hold is complete."""
        return self.ends_with_call and self._emitter.num_complete > 0

    def feed(self, text: str) -> list[AnswerPart]:
        if self._splitter is None:
            return self._answer(text)
        thought, said = self._splitter.feed(text)
        return self._parts(thought, said)

    def drop_answer(self) -> None:
        """What came behind the thoughts is forgotten: the answer comes next."""
        if self._splitter is not None:
            self._splitter.await_answer()
        self._begin_answer()

    def flush(self) -> list[AnswerPart]:
        """What was held back, once the answer is over. Nothing follows the one call."""
        if self.is_over:
            return []
        thought, said = ("", "") if self._splitter is None else self._splitter.flush()
        parts = self._parts(thought, said)
        return parts if self._calls is None else parts + self._calls.flush()

    def _parts(self, thought: str, said: str) -> list[AnswerPart]:
        before: list[AnswerPart] = [ReasoningDelta(thought)] if thought else []
        return before + self._answer(said)

    def _answer(self, text: str) -> list[AnswerPart]:
        if not text:
            return []
        if self._calls is None:
            return [TextDelta(text)]
        parts = self._calls.feed(text)
        return _first_call(parts) if self.ends_with_call else parts


def _first_call(parts: list[AnswerPart]) -> list[AnswerPart]:
    """One token may end a call and begin another one."""
    starts = (
        at for at, part in enumerate(parts) if isinstance(part, ToolCallStarted) and part.index
    )
    return parts[: next(starts, None)]


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"
