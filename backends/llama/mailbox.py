"""Owns the merging slot between the engine and one reader. Lives on the event loop alone.

However slowly a reader reads, what waits for it is one list of ids, bounded by max_tokens.
"""

import asyncio

from backends.base import TokenStep
from core.errors import EngineFailed
from core.events import FinishReason
from core.scores import ScoredToken


class Mailbox:
    """Filled by the engine's hand-off on the loop, emptied by one reader."""

    def __init__(self) -> None:
        self._token_ids: list[int] = []
        self._scores: list[ScoredToken] = []
        self._prompt_scores: tuple[ScoredToken, ...] = ()
        self._num_cached = 0
        self._finish: FinishReason | None = None
        self._failure: str | None = None
        self._filled = asyncio.Event()

    def put(self, step: TokenStep) -> None:
        """Joined to what was not taken yet."""
        self._token_ids += step.token_ids
        self._scores += step.scores
        self._prompt_scores += step.prompt_scores
        self._finish = step.finish
        self._num_cached = step.num_cached
        self._filled.set()

    def fail(self, reason: str) -> None:
        """Ids that came before are still delivered; a finished sequence stays finished."""
        if self._finish is None:
            self._failure = reason
        self._filled.set()

    async def take(self) -> TokenStep:
        """Waits for ids and returns all that came since the last call. Raises EngineFailed."""
        await self._filled.wait()
        self._filled.clear()
        if not self._token_ids and self._failure is not None:
            raise EngineFailed(self._failure)
        if self._failure is not None:
            self._filled.set()
        step = TokenStep(
            tuple(self._token_ids),
            self._finish,
            self._num_cached,
            tuple(self._scores),
            self._prompt_scores,
        )
        self._token_ids.clear()
        self._scores.clear()
        self._prompt_scores = ()
        return step
