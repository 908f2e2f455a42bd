"""Owns what may end a request before its answer is whole: its deadline, and the server's stop."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import DeadlineExceeded, JarvisError

OnCut = Callable[[JarvisError], object]


class Cutoff:
    """Of one request, from its arrival on. Belongs to the event loop."""

    def __init__(self, limit_s: float | None = None) -> None:
        """`limit_s` is the longest that any request may take; None for ever."""
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()
        self._limit_s = limit_s
        self._timer: asyncio.TimerHandle | None = None
        self._calls: list[OnCut] = []
        self.error: JarvisError | None = None
        if limit_s is not None:
            self.limit(limit_s)

    def limit(self, seconds: float) -> None:
        """Since the arrival. The shortest limit counts."""
        if self._timer is not None:
            if self._limit_s is not None and seconds >= self._limit_s:
                return
            self._timer.cancel()
        self._limit_s = seconds
        self._timer = self._loop.call_at(self._started_at + seconds, self._expire)

    def continued(self, later: "Cutoff") -> "Cutoff":
        """`later`, which began after this one, with what is left of this one's time."""
        if self._limit_s is not None:
            later._started_at = self._started_at
            later.limit(self._limit_s)
        return later

    def on_cut(self, call: OnCut) -> None:
        """Calls it once with the reason, at once where that was before."""
        if self.error is not None:
            call(self.error)
        else:
            self._calls.append(call)

    def cut(self, error: JarvisError) -> None:
        """Idempotent: the first reason counts."""
        if self.error is not None:
            return
        self.error = error
        self.end()
        calls, self._calls = self._calls, []
        for call in calls:
            call(error)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """What is awaited here ends with the reason when the request is cut off."""
        if self.error is not None:
            raise self.error
        task = asyncio.current_task()
        assert task is not None, "there is a running task"

        def call(_: JarvisError) -> None:
            task.cancel()

        self._calls.append(call)
        try:
            yield
        except asyncio.CancelledError:
            if self.error is None:
                raise
            task.uncancel()
            raise self.error from None
        finally:
            if call in self._calls:
                self._calls.remove(call)

    def end(self) -> None:
        """The request is over: its time no longer runs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self.cut(DeadlineExceeded(f"the request took longer than the {self._limit_s:g} s it had"))
