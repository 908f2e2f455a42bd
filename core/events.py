"""Owns what a request gives back, as values: text as it comes, then exactly one end a choice."""

from dataclasses import dataclass
from enum import StrEnum

from core.scores import ScoredToken


class FinishReason(StrEnum):
    """STOP: an end id or a stop string. LENGTH: max_tokens or the context window was reached.
    TOOL_CALLS: as STOP, and the answer holds a call; engines don't know it.
    """

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New text of one choice. `scores`, where asked for, are of the ids that came since the last
    one; text and ids may be some apart, for what may still become a stop string is held back.
    """

    text: str
    scores: tuple[ScoredToken, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """New text of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """The model calls a tool. `index` counts the calls of one choice from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """New text of a call's arguments, which are JSON as the model writes it."""

    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class PromptScored:
    """The first event of a choice whose prompt's scores were asked for: all but the first id's."""

    scores: tuple[ScoredToken, ...]


@dataclass(frozen=True, slots=True)
class PromptEchoed:
    """The prompt's text, which stands before the answer's where that was asked for."""

    text: str


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """The last event of a choice. As with OpenAI, the end token counts as a completion token.

    `num_cached_tokens` are those of the prompt that were reused from earlier requests,
    `num_reasoning_tokens` those of the completion that were thought. `stop` is the request's stop
    string that ended the answer, None where something else did.
    """

    finish_reason: FinishReason
    num_prompt_tokens: int
    num_completion_tokens: int
    num_cached_tokens: int = 0
    num_reasoning_tokens: int = 0
    stop: str | None = None


AnswerPart = TextDelta | ReasoningDelta | ToolCallStarted | ToolCallDelta
GenerationEvent = PromptScored | PromptEchoed | AnswerPart | GenerationEnd
