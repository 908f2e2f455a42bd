"""Owns what a request gives back, as values: text as it comes, then exactly one end a choice."""

from dataclasses import dataclass
from enum import StrEnum


class FinishReason(StrEnum):
    """STOP: an end id or a stop string. LENGTH: max_tokens or the context window was reached."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New text of one choice."""

    text: str


@dataclass(frozen=True, slots=True)
class GenerationEnd:
    """The last event of a choice. As with OpenAI, the end token counts as a completion token.

    `num_cached_tokens` are those of the prompt that were reused from earlier requests.
    """

    finish_reason: FinishReason
    num_prompt_tokens: int
    num_completion_tokens: int
    num_cached_tokens: int = 0


GenerationEvent = TextDelta | GenerationEnd
