"""Owns when servers are looked at: each by a task of its own, so that none delays another.

Knows neither what a look is made of nor who wants to know.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from backends.remote.checking import Look, look_at
from backends.remote.directory import Directory
from backends.remote.wire import EndpointCheck, Wire
from backends.upstream import BreakerState, EndpointState
from core.upstreams import Upstream

# For names that nobody has: clients may ask for them as often as they like.
_SHORTEST_INTERVAL_S = 5.0
_logger = logging.getLogger(__name__)


class Watched(Protocol):
    """What is looked at, and told what was seen."""

    @property
    def upstream(self) -> Upstream: ...

    @property
    def wire(self) -> Wire: ...

    @property
    def state(self) -> EndpointState: ...

    def see(self, check: EndpointCheck) -> None: ...

    def listen(self, listener: Callable[[BreakerState], None]) -> None: ...


class Watch:
    """Looks at all endpoints for as long as it is open. Belongs to one event loop."""

    def __init__(
        self, endpoints: Sequence[Watched], directory: Directory, refresh_s: float
    ) -> None:
        self._watchers = tuple(_Watcher(each, directory, refresh_s) for each in endpoints)
        self._asked_at: float | None = None

    def start(self) -> None:
        """Looks at all at once, in the background."""
        self._asked_at = asyncio.get_running_loop().time()
        for watcher in self._watchers:
            watcher.start()

    def look_again(self) -> set[asyncio.Future[None]]:
        """Looks at all now, unless that was done a moment ago; each future is done when its server
        was looked at. Those that are being looked at already are waited for, not asked again.
        """
        if self._asked_at is None:
            return set()
        now = asyncio.get_running_loop().time()
        if now - self._asked_at >= _SHORTEST_INTERVAL_S:
            self._asked_at = now
            for watcher in self._watchers:
                watcher.look_now()
        return {watcher.next_look for watcher in self._watchers if watcher.is_looking}

    @property
    def has_seen_all(self) -> bool:
        """Whether every server was looked at once, with whatever outcome."""
        return all(watcher.has_seen for watcher in self._watchers)

    async def close(self) -> None:
        """Idempotent."""
        self._asked_at = None
        await asyncio.gather(*(watcher.close() for watcher in self._watchers))


class _Watcher:
    """Looks at one endpoint: now, and then whenever its timer or somebody wants it."""

    def __init__(self, endpoint: Watched, directory: Directory, refresh_s: float) -> None:
        self.endpoint = endpoint
        self._directory = directory
        self._refresh_s = refresh_s
        self._wanted = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._last: Look | None = None
        endpoint.listen(self._breaker_changed)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.next_look: asyncio.Future[None] = loop.create_future()
        self._wanted.set()
        self._task = loop.create_task(self._keep_looking())

    @property
    def is_looking(self) -> bool:
        """Or about to."""
        return self._wanted.is_set()

    def look_now(self) -> None:
        self._wanted.set()

    @property
    def has_seen(self) -> bool:
        return self._last is not None

    async def close(self) -> None:
        if self._task is None:
            return
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not self.next_look.done():
            self.next_look.set_result(None)

    def _breaker_changed(self, state: BreakerState) -> None:
        """The last look no longer tells the truth: it is repeated when the server may be well
        again, and when it is.
        """
        if self._task is None:
            return
        if state is BreakerState.OPEN:
            self._look_within(self.endpoint.upstream.breaker.open_s)
        elif state is BreakerState.CLOSED:
            self.look_now()

    async def _keep_looking(self) -> None:
        while True:
            await self._wanted.wait()
            self._drop_timer()
            await self._look()
            self._wanted.clear()
            done, self.next_look = self.next_look, asyncio.get_running_loop().create_future()
            done.set_result(None)
            self._look_within(self._pause_s())

    async def _look(self) -> None:
        upstream = self.endpoint.upstream
        try:
            look = await look_at(self.endpoint.wire, upstream.kind)
            self.endpoint.see(look.check)
            if look.models is not None:
                url = self.endpoint.wire.url
                self._directory.learn(upstream.name, url, look.models.models)
        except Exception:
            # A mistake of ours must not end the looks at a server that does well.
            _logger.exception("upstream=%s look=failed", upstream.name)
            return
        self._tell(look)
        self._last = look

    def _pause_s(self) -> float:
        """Shorter where the server does badly, so that it is soon known when it is back."""
        upstream, state = self.endpoint.upstream, self.endpoint.state
        is_well = state.is_reachable and state.breaker is not BreakerState.OPEN
        return self._refresh_s if is_well else min(self._refresh_s, upstream.breaker.open_s)

    def _look_within(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._timer.when() <= loop.time() + seconds:
            return
        self._drop_timer()
        self._timer = loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        # In the middle of a look it counts for nothing, and must not be taken for one to come.
        self._timer = None
        self._wanted.set()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, look: Look) -> None:
        """A line where something has changed."""
        name, url, last = self.endpoint.upstream.name, self.endpoint.wire.url, self._last
        check = look.check
        if last is None or (last.check.is_reachable, last.check.error) != (
            check.is_reachable,
            check.error,
        ):
            level = logging.INFO if check.error is None else logging.WARNING
            reachable = str(check.is_reachable).lower()
            reason = f" error={check.error!r}" if check.error else ""
            _logger.log(level, "upstream=%s url=%s reachable=%s%s", name, url, reachable, reason)
        skipped = look.models.skipped if look.models else ""
        if skipped and (last is None or last.models is None or last.models.skipped != skipped):
            _logger.warning("upstream=%s url=%s skipped=%r", name, url, skipped)
