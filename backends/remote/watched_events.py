"""Owns the events of one answer on their way through: when they must be over, and how they ended.

Looks into none of them, and knows no server.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from backends.remote.unanswered import out_of_time
from backends.remote.wire import TellsError
from backends.upstream import EventStream
from core.errors import UpstreamFailed, UpstreamFailure


class Visit(Protocol):
    """Who is told of the end: once is enough, more often does no harm."""

    def succeeded(self) -> None: ...

    def failed(self, failure: UpstreamFailure) -> None: ...

    def given_up(self) -> None: ...


class WatchedEvents:
    """An EventStream that tells `visit` how it ended. One that is not over at `until`, by the event
    loop's clock, fails with TIMEOUT: that is no fault of the server, whose reader may be slow. The
    server is let go then, also where nobody reads any more. Belongs to one event loop.
    """

    def __init__(
        self, events: EventStream, visit: Visit, until: float | None, upstream: str
    ) -> None:
        self._events = events
        self._visit = visit
        self._until = until
        self._upstream = upstream
        self._is_read = False
        self._closing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if until is not None:
            self._timer = asyncio.get_running_loop().call_at(until, self._run_out)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._is_read = True
        try:
            if self._until is None:
                return await self._events.__anext__()
            return await self._next_before(self._until)
        except StopAsyncIteration:
            self._tell_end(self._visit.succeeded)
            raise
        except UpstreamFailed as failed:
            self._visit.failed(failed.failure)
            raise
        except BaseException:
            self._visit.given_up()
            raise
        finally:
            self._is_read = False

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._events.aclose()
        finally:
            self._tell_end(self._visit.given_up)

    def _tell_end(self, otherwise: Callable[[], None]) -> None:
        """A server that ends an answer with an error has failed, whoever reads on behind that."""
        error = self._events.told_error if isinstance(self._events, TellsError) else None
        if error is None:
            otherwise()
        else:
            self._visit.failed(error)

    def _run_out(self) -> None:
        # Whoever waits for an event is told of it there.
        if not self._is_read:
            self._closing = asyncio.ensure_future(self.aclose())

    async def _next_before(self, until: float) -> bytes:
        # A reader that never waits would never see the timer.
        is_over = asyncio.get_running_loop().time() >= until
        try:
            async with asyncio.timeout_at(until) as scope:
                if not is_over:
                    return await self._events.__anext__()
        except TimeoutError:
            if not scope.expired():
                raise
        await self.aclose()
        raise out_of_time(self._upstream)
