"""The seam between what makes an answer and what shows it. Knows neither engines nor HTTP."""

from collections.abc import AsyncGenerator
from typing import Protocol

from core.events import GenerationEvent


class AnswerSource(Protocol):
    """One choice of an accepted request. Nothing runs before `events` is iterated; closing that
    aborts it.
    """

    @property
    def choice(self) -> int:
        """Counts from 0 among those of the same prompt."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """The most that it will have; None where that is not known."""
        ...

    @property
    def num_prompt_tokens(self) -> int:
        """0 until it is known, where another server counts them."""
        ...

    @property
    def num_completion_tokens(self) -> int:
        """Those that came until now, also of an answer that was cut short."""
        ...

    @property
    def queue_s(self) -> float | None:
        """How long it waited for its turn; None while it does, and where nothing is known of it."""
        ...

    @property
    def num_sent_bytes(self) -> int:
        """How much another server was sent for it, once that has begun to answer; else 0."""
        ...

    def events(self) -> AsyncGenerator[GenerationEvent, None]:
        """The answer's parts as they come, then exactly one GenerationEnd. To be called once.

        Raises EngineUnavailable or UpstreamFailed before the first event, EngineFailed or
        UpstreamFailed at any time.
        """
        ...
