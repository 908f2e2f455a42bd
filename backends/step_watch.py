"""Owns the watch over an engine's progress: whether it makes steps while it has work.

Knows no engine: counts what it is told of. Answers to pings would say nothing, so none are sent.
"""

import asyncio
from collections.abc import Callable

# A stall is seen this much of the time-out late at most; a look costs a microsecond.
_LATE_SHARE = 0.25


class StepWatch:
    """Over one engine. Belongs to the running event loop. A timer runs only while there is work."""

    def __init__(self, timeout_s: float, num_steps: Callable[[], int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._num_steps = num_steps
        self._num_live = 0
        self._num_seen = 0
        self._moved_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_stalled = asyncio.Event()

    def begin(self) -> None:
        """One more sequence is under way."""
        if not self._num_live:
            self._note_progress()
        self._num_live += 1
        if self._timer is None:
            self._arm()

    def end(self) -> None:
        self._num_live -= 1

    async def wait_stalled(self) -> str:
        """Returns, with the reason in a line, when there was work and no step for too long."""
        await self._is_stalled.wait()
        return f"the engine made no step for {self._timeout_s:g} s while it had work"

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._timeout_s * _LATE_SHARE, self._look)

    def _note_progress(self) -> None:
        self._num_seen = self._num_steps()
        self._moved_at = self._loop.time()

    def _look(self) -> None:
        self._timer = None
        if not self._num_live:
            return
        if self._num_steps() != self._num_seen:
            self._note_progress()
        elif self._loop.time() - self._moved_at >= self._timeout_s:
            self._is_stalled.set()
            return
        self._arm()
