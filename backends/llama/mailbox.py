"""Owns the merging slot between the engine and one reader. Lives on the event loop alone.

However slowly a reader reads, what waits for it is one list of ids, bounded by max_tokens.
"""

import asyncio
from collections.abc import Sequence

from backends.base import TokenStep
from core.errors import EngineFailed
from core.events import FinishReason


class Mailbox:
    """Filled by the engine's hand-off on the loop, emptied by one reader."""

    def __init__(self) -> None:
        self._token_ids: list[int] = []
        self._num_cached = 0
        self._finish: FinishReason | None = None
        self._failure: str | None = None
        self._filled = asyncio.Event()

    def put(
        self, token_ids: Sequence[int], finish: FinishReason | None, num_cached: int = 0
    ) -> None:
        """`num_cached` as in TokenStep."""
        self._token_ids.extend(token_ids)
        self._finish = finish
        self._num_cached = num_cached
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
        step = TokenStep(tuple(self._token_ids), self._finish, self._num_cached)
        self._token_ids.clear()
        return step
