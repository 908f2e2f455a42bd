"""The seam between the library's calls and what answers them, here or elsewhere."""

from collections.abc import AsyncGenerator
from typing import Protocol

from core.events import GenerationEvent
from core.requests import GenerationRequest


class Answering(Protocol):
    """One engine's life. All methods belong to the loop that called `start`."""

    async def start(self) -> None:
        """Returns when it takes requests. Raises ModelLoadError or EngineUnavailable."""
        ...

    async def close(self) -> None:
        """Ends live requests with an error. Idempotent."""
        ...

    async def unavailability(self) -> str | None:
        """Why a request sent now would not be answered; None where it would."""
        ...

    def answer(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """The answer's events, the end last. Closing it aborts it. Raises RequestError,
        EngineUnavailable, EngineFailed or UpstreamFailed.
        """
        ...
