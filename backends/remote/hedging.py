"""Owns the race of two attempts at one answer, of which the first that begins well is given out.

Knows no server and no request.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from backends.upstream import StreamedReply, UpstreamReply

Attempt = Callable[[], Coroutine[Any, Any, UpstreamReply]]


class Hedging:
    """Runs races, and holds what lost until it has ended. Belongs to one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def num_running(self) -> int:
        """Attempts that have not ended yet, those that lost among them."""
        return len(self._tasks)

    async def first_of(
        self, first: Attempt, second: Callable[[], Attempt | None], after_s: float
    ) -> UpstreamReply:
        """The answer of `first`, or that of what `second` gives after so many seconds without one,
        if it gives any: whichever begins well. The other is cancelled, and never given out.

        Raises what the last of them raised. Cancelling it ends both.
        """
        race = _Race(self._tasks)
        race.enter(first)
        timer = asyncio.get_running_loop().call_later(after_s, race.enter_next, second)
        try:
            return await race.winner
        except asyncio.CancelledError:
            await race.call_off()
            raise
        finally:
            timer.cancel()
            race.end()


class _Race:
    """`winner` is the answer, or what the last attempt raised."""

    def __init__(self, kept: set[asyncio.Task[None]]) -> None:
        self.winner: asyncio.Future[UpstreamReply] = asyncio.get_running_loop().create_future()
        self._kept = kept
        self._asking: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()

    def enter(self, attempt: Attempt) -> None:
        task = asyncio.create_task(self._run(attempt))
        self._asking.add(task)
        self._kept.add(task)
        task.add_done_callback(self._ended)

    def enter_next(self, second: Callable[[], Attempt | None]) -> None:
        attempt = None if self.winner.done() else second()
        if attempt is not None:
            self.enter(attempt)

    def end(self) -> None:
        """Ends what has not begun. An answer that begins all the same is closed, undisturbed."""
        for task in self._asking:
            task.cancel()

    async def call_off(self) -> None:
        """Ends all, and waits until they have ended. An answer that came at the very moment is
        nobody's.
        """
        self.end()
        if not self.winner.cancelled() and self.winner.exception() is None:
            await _close(self.winner.result())
        if unfinished := self._asking | self._closing:
            await asyncio.wait(unfinished)

    async def _run(self, attempt: Attempt) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            reply = await attempt()
        except Exception as error:
            self._asking.discard(task)
            if not self._asking and not self.winner.done():
                self.winner.set_exception(error)
            return
        self._asking.discard(task)
        if not self.winner.done():
            self.winner.set_result(reply)
            return
        self._closing.add(task)
        await _close(reply)

    def _ended(self, task: asyncio.Task[None]) -> None:
        for tasks in (self._asking, self._closing, self._kept):
            tasks.discard(task)
        # Somebody ended the last one from outside: whoever waits must not wait for ever.
        if task.cancelled() and not self._asking:
            self.winner.cancel()


async def _close(reply: UpstreamReply) -> None:
    if isinstance(reply, StreamedReply):
        await reply.events.aclose()
