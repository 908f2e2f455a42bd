"""Owns what is under way, so that a server can stop without losing anything. Knows no HTTP."""

import asyncio

from api.cutoff import Cutoff
from core.errors import JarvisError, ServerStopping


class Traffic:
    """Requests from their arrival to their end, and what goes on after their reply."""

    def __init__(self, limit_s: float | None = None) -> None:
        """`limit_s` is the longest that a request may take; None for ever."""
        self._limit_s = limit_s
        self._under_way: set[Cutoff] = set()
        self._stopping: str | None = None
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @property
    def num_active(self) -> int:
        return len(self._under_way)

    @property
    def is_stopping(self) -> bool:
        return self._stopping is not None

    def enter(self) -> Cutoff:
        """Everything that enters leaves. Raises ServerStopping."""
        self.refuse_if_stopping()
        cutoff = Cutoff(self._limit_s)
        self._under_way.add(cutoff)
        self._is_empty.clear()
        return cutoff

    def leave(self, cutoff: Cutoff) -> None:
        """Idempotent."""
        cutoff.end()
        self._under_way.discard(cutoff)
        if not self._under_way:
            self._is_empty.set()

    def refuse_if_stopping(self) -> None:
        if self._stopping is not None:
            raise ServerStopping(self._stopping)

    def stop(self, reason: str) -> None:
        """Lets nothing more enter. Idempotent."""
        self._stopping = self._stopping or reason

    async def emptied(self) -> None:
        """Returns when nothing is under way."""
        await self._is_empty.wait()

    def end_all(self, error: JarvisError) -> None:
        """Ends what is under way with an error: each still has to leave."""
        for cutoff in tuple(self._under_way):
            cutoff.cut(error)
