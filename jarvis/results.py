"""Owns what a call gives back, and how it is folded out of events."""

import json
from dataclasses import dataclass
from typing import Any

from core.events import (
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)


@dataclass(frozen=True, slots=True)
class Usage:
    """In tokens. `cached_tokens` are those of the prompt that were reused, `reasoning_tokens` those
    of the completion that were thought.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wants made. `arguments_json` is what it wrote."""

    id: str
    name: str
    arguments_json: str

    @property
    def arguments(self) -> dict[str, Any]:
        """Raises ValueError where the answer was cut in the middle of them (`finish_reason` is
        length), or a remote model wrote no JSON object.
        """
        try:
            found = json.loads(self.arguments_json or "{}")
        except ValueError as error:
            raise ValueError(f"the arguments of {self.name} are no whole JSON: {error}") from None
        if not isinstance(found, dict):
            raise ValueError(f"the arguments of {self.name} are no JSON object")
        return found


@dataclass(frozen=True, slots=True)
class Completion:
    """How a prompt goes on. `stop` is the stop string that ended it, if one did."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class ChatResult:
    """An answer to messages. `reasoning` is what was thought before it, which may be empty."""

    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason
    usage: Usage
    stop: str | None = None

    @property
    def tool_call(self) -> ToolCall | None:
        """The first one, where there is one."""
        return self.tool_calls[0] if self.tool_calls else None

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a turn of the conversation, to be put behind its messages."""
        calls = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json},
            }
            for call in self.tool_calls
        ]
        turn: dict[str, Any] = {"role": "assistant", "content": self.text}
        if calls:
            turn |= {"content": self.text or None, "tool_calls": calls}
        return turn | ({"reasoning_content": self.reasoning} if self.reasoning else {})


class Fold:
    """Add events in their order; what is made of them is known once the end has come."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: dict[int, tuple[ToolCallStarted, list[str]]] = {}
        self._end: GenerationEnd | None = None

    @property
    def is_over(self) -> bool:
        return self._end is not None

    def add(self, event: GenerationEvent) -> None:
        match event:
            case TextDelta(text):
                self._texts.append(text)
            case ReasoningDelta(text):
                self._thoughts.append(text)
            case ToolCallStarted():
                self._calls[event.index] = (event, [])
            case ToolCallDelta(index, arguments):
                self._calls[index][1].append(arguments)
            case GenerationEnd():
                self._end = event
            case _:
                pass

    def completion(self) -> Completion:
        end = self._ended
        return Completion("".join(self._texts), end.finish_reason, _usage(end), end.stop)

    def chat_result(self) -> ChatResult:
        end = self._ended
        return ChatResult(
            text="".join(self._texts),
            reasoning="".join(self._thoughts),
            tool_calls=tuple(
                ToolCall(start.id, start.name, "".join(parts))
                for start, parts in self._calls.values()
            ),
            finish_reason=end.finish_reason,
            usage=_usage(end),
            stop=end.stop,
        )

    @property
    def _ended(self) -> GenerationEnd:
        assert self._end is not None, "an answer is asked for when its end has come"
        return self._end


def _usage(end: GenerationEnd) -> Usage:
    return Usage(
        end.num_prompt_tokens,
        end.num_completion_tokens,
        end.num_cached_tokens,
        end.num_reasoning_tokens,
    )
