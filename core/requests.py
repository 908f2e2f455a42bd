"""Owns what is to be generated, after HTTP and before the engine. Knows no engine and no HTTP."""

from dataclasses import dataclass, field

from core.messages import Conversation
from core.sampling import SamplingPlan


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt to answer, `num_choices` times, each answer drawn for itself.

    `prompt` is a conversation (rendered by the chat format), a plain text (encoded as text that may
    hold control tokens, as OpenAI's completions do), or token ids. `max_tokens` None means as many
    as the context window leaves. Of two that wait, the lower `priority` goes first. What was
    computed for one prompt is reused for another only where both have the same `cache_salt`.
    """

    id: str
    prompt: Conversation | str | tuple[int, ...]
    sampling: SamplingPlan = field(default_factory=SamplingPlan)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    priority: int = 0
    cache_salt: str | None = None
    num_choices: int = 1

    def __post_init__(self) -> None:
        if self.num_choices < 1:
            raise ValueError(f"num_choices {self.num_choices} is below 1")
