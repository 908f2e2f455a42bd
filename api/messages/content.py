"""Owns a message that grows as events come: its blocks, why it ended, and what it cost."""

import uuid
from dataclasses import dataclass
from typing import Any

from api.messages.blocks import BlockRules, BlockSequence, StreamEvent
from api.pump import Arrived
from core.events import FinishReason, GenerationEnd
from serving.answer_source import AnswerSource


@dataclass(frozen=True, slots=True)
class MessageStyle:
    """What a message says beside its blocks, and the most tokens that were asked for."""

    model_id: str
    rules: BlockRules
    max_tokens: int


class MessageContent:
    """Implements `api.answering.Content`. `news` is what the last events add to a stream."""

    def __init__(self, style: MessageStyle, source: AnswerSource) -> None:
        self.id = f"msg_{uuid.uuid4().hex}"
        self.news: list[StreamEvent] = []
        self._style = style
        self._source = source
        self._sequence = BlockSequence(style.rules)
        self._end: GenerationEnd | None = None

    @property
    def model_id(self) -> str:
        return self._style.model_id

    @property
    def has_ended(self) -> bool:
        return self._end is not None

    def add(self, arrived: Arrived) -> None:
        events = [event for each in arrived.values() for event in each]
        self.news = [told for event in events for told in self._sequence.feed(event)]
        if events and isinstance(events[-1], GenerationEnd):
            self._end = events[-1]

    def end(self, outcome: str) -> None:
        """Nothing is kept of an answer."""

    def whole(self) -> dict[str, Any]:
        return self._message() | {"content": self._sequence.whole(), **self._outcome()}

    def beginning(self) -> StreamEvent:
        """The first event of a stream: how much of the prompt was reused is told by the last."""
        return {"type": "message_start", "message": self._message()}

    def ending(self) -> StreamEvent:
        outcome = self._outcome()
        usage = outcome.pop("usage")
        return {"type": "message_delta", "delta": outcome, "usage": usage}

    def _message(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self._style.model_id,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "usage": _usage(self._source.num_prompt_tokens, 0, 0),
        }

    def _outcome(self) -> dict[str, Any]:
        end = self._end
        assert end is not None, "asked for before the end"
        usage = _usage(end.num_prompt_tokens, end.num_cached_tokens, end.num_completion_tokens)
        if end.num_reasoning_tokens:
            usage["output_tokens_details"] = {"thinking_tokens": end.num_reasoning_tokens}
        reason = self._stop_reason(end)
        sequence = end.stop if reason == "stop_sequence" else None
        return {
            "stop_reason": reason,
            "stop_sequence": sequence,
            "stop_details": None,
            "usage": usage,
        }

    @property
    def _fills_window(self) -> bool:
        """Whether the context window bounds the answer, which leaves less than was asked for."""
        bound = self._source.max_tokens
        return bound is not None and bound < self._style.max_tokens

    def _stop_reason(self, end: GenerationEnd) -> str:
        match end.finish_reason:
            case FinishReason.LENGTH:
                return "model_context_window_exceeded" if self._fills_window else "max_tokens"
            case FinishReason.TOOL_CALLS:
                return "tool_use"
            case FinishReason.STOP:
                return "end_turn" if end.stop is None else "stop_sequence"


def _usage(num_prompt: int, num_cached: int, num_completion: int) -> dict[str, Any]:
    """Anthropic counts the cached tokens of a prompt apart from the others."""
    return {
        "input_tokens": num_prompt - num_cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": num_cached,
        "output_tokens": num_completion,
    }
