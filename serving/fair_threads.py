"""Owns threads whose turns are fair between accounts, and how much may wait for them.

Knows nothing of the work. Belongs to one event loop.
"""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from serving.shares import Shares
from serving.turns import Claim, QueueRules, Turns

T = TypeVar("T")


class FairThreads:
    """A few threads of their own: what is slow here keeps no other work from the event loop's."""

    def __init__(self, name: str, num_threads: int, max_waiting: int | None = None) -> None:
        """`max_waiting`: how many may wait; no account with a name has all places."""
        self._threads = ThreadPoolExecutor(num_threads, name)
        self._turns = Turns(QueueRules())
        self._turns.open(num_threads)
        self._places = None
        if max_waiting is not None:
            self._places = Shares(num_threads + max_waiting, "requests for prompts")

    async def run(self, claim: Claim, work: Callable[[], T]) -> T:
        """What `work` gives. Being cancelled, it leaves the queue; in a thread it goes on to its
        end, and has its place so long. Raises QueueFull, before it waits, and what `work` does.
        """
        place = None if self._places is None else self._places.take(claim.account, 1)
        try:
            async with self._turns.turn(claim):
                return await self._in_thread(work)
        finally:
            if place is not None:
                place.end()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        working = loop.run_in_executor(self._threads, context.run, work)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            while not working.done():
                # However often it is cancelled, its place is taken so long.
                with suppress(asyncio.CancelledError):
                    await asyncio.wait((working,))
            raise
