"""Reads an answer's text: what is thought, said, and called. Knows no ids and no engine."""

import uuid

from chat_formats.thoughts import ThoughtSplitter, ThoughtState
from chat_formats.tool_calls.parsing import CallParser, call_parser
from core.events import AnswerPart, ReasoningDelta, TextDelta
from serving.answers.rules import AnswerRules, CallRules


class AnswerReader:
    """Feed text as it comes, then flush. The same parts however the text is cut."""

    def __init__(self, rules: AnswerRules) -> None:
        thoughts = rules.thoughts
        self._splitter = (
            None if thoughts is None else ThoughtSplitter(thoughts.syntax, is_open=thoughts.is_open)
        )
        self._calls = None if rules.calls is None else _parser(rules.calls)
        self.ends_with_call = rules.calls is not None and not rules.calls.is_parallel

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
    def has_call(self) -> bool:
        return self._calls is not None and self._calls.num_calls > 0

    @property
    def is_over(self) -> bool:
        """Whether the one call that an answer may hold is complete."""
        return self.ends_with_call and self._calls is not None and self._calls.num_complete > 0

    def feed(self, text: str) -> list[AnswerPart]:
        if self._splitter is None:
            return self._answer(text)
        thought, said = self._splitter.feed(text)
        return self._parts(thought, said)

    def flush(self) -> list[AnswerPart]:
        """What was held back, once the answer is over."""
        thought, said = ("", "") if self._splitter is None else self._splitter.flush()
        parts = self._parts(thought, said)
        return parts if self._calls is None else parts + self._calls.flush()

    def _parts(self, thought: str, said: str) -> list[AnswerPart]:
        before: list[AnswerPart] = [ReasoningDelta(thought)] if thought else []
        return before + self._answer(said)

    def _answer(self, text: str) -> list[AnswerPart]:
        if not text:
            return []
        return [TextDelta(text)] if self._calls is None else self._calls.feed(text)


def _parser(rules: CallRules) -> CallParser:
    return call_parser(rules.syntax, rules.names, _new_id)


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"
