"""Owns one URL of an upstream: what is under way there, how it did, whether it is to be asked.

Sends once. Knows no other URL, no retries and nothing of HTTP.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from time import monotonic

from backends.remote.balancing import Candidate, Standing
from backends.remote.breaker import Breaker, Permit
from backends.remote.unanswered import out_of_time, unavailable
from backends.remote.watched_events import WatchedEvents
from backends.remote.wire import EndpointCheck, Wire
from backends.upstream import (
    BreakerState,
    EndpointState,
    StreamedReply,
    UpstreamCall,
    UpstreamReply,
    WholeReply,
)
from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault
from core.upstreams import Upstream, UpstreamKind

# How much the newest time counts in the moving mean.
_NEWEST = 0.2
# What a server says that lives: it has no time, or blames the request.
_ALIVE = range(400, 500)
# llama-cpp-python's server says so of a request's mistakes too: one client's would end in an open
# breaker for all.
_ALIVE_BY_KIND = {UpstreamKind.LLAMA_CPP: (500,)}
_TOO_MANY = 429

_logger = logging.getLogger(__name__)


class Endpoint:
    """One URL. `clock` is in seconds and never goes back. Belongs to one event loop."""

    def __init__(
        self, upstream: Upstream, wire: Wire, clock: Callable[[], float] = monotonic
    ) -> None:
        self.upstream = upstream
        self.wire = wire
        self.num_outstanding = 0
        self.latency_s: float | None = None
        self._clock = clock
        self._key = f"{upstream.name} {wire.url}".encode()
        self._weight = upstream.weight / len(upstream.base_urls)
        self._breaker = Breaker(upstream.name, upstream.breaker, clock, self._breaker_changed)
        self._listeners: list[Callable[[BreakerState], None]] = []
        self._rests_until = 0.0
        self._check: EndpointCheck | None = None
        self._checked_at = 0.0

    def listen(self, listener: Callable[[BreakerState], None]) -> None:
        """`listener` is called with each state that the breaker goes to."""
        self._listeners.append(listener)

    def see(self, check: EndpointCheck) -> None:
        """Takes in what a look at the server found."""
        self._check, self._checked_at = check, self._clock()

    @property
    def state(self) -> EndpointState:
        check = self._check
        return EndpointState(
            url=self.wire.url,
            is_reachable=check.is_reachable if check else None,
            breaker=self._breaker.state,
            num_outstanding=self.num_outstanding,
            latency_s=self.latency_s,
            error=check.error if check else None,
            num_running=check.num_running if check else None,
            num_waiting=check.num_waiting if check else None,
            kv_cache_usage=check.kv_cache_usage if check else None,
        )

    @property
    def candidate(self) -> Candidate:
        return Candidate(self._key, self._weight, self.num_outstanding, self._standing)

    @property
    def is_free(self) -> bool:
        """Whether a request sent now would go out."""
        return self.is_admitting and self.rest_s == 0.0

    @property
    def is_admitting(self) -> bool:
        """Whether the breaker lets a request pass now."""
        return self._breaker.ready_in_s == 0.0

    @property
    def rest_s(self) -> float:
        """For how long it still wants to be left alone, as it said itself."""
        return max(self._rests_until - self._clock(), 0.0)

    @property
    def ready_in_s(self) -> float | None:
        """After what time a request may go out, 0 for now. None while a probe decides."""
        ready_in_s = self._breaker.ready_in_s
        return None if ready_in_s is None else max(ready_in_s, self.rest_s)

    async def ask(
        self, call: UpstreamCall, model: str, until: float | None = None
    ) -> UpstreamReply:
        """Sends a request once. It counts as outstanding until its answer is whole, or its events
        have ended or were closed. `until`, by the event loop's clock, is when all of that must
        be over.

        Raises UpstreamFailed, with UNAVAILABLE where nothing may be sent now.
        """
        visit = self._admit()
        began, loop_began = self._clock(), asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(until) as scope:
                reply = await self.wire.ask(call, model)
        except UpstreamFailed as failed:
            failure = failed.failure
            if self.is_clients_affair(call, failure):
                failure = replace(failure, retry_after_s=None)
            visit.failed(failure)
            raise
        except TimeoutError:
            if not scope.expired() or until is None:
                visit.given_up()
                raise
            self._ran_out(visit, until - loop_began)
            raise out_of_time(self.upstream.name) from None
        except BaseException:
            visit.given_up()
            raise
        return self._take(reply, visit, self._clock() - began, until)

    def is_clients_affair(self, call: UpstreamCall, failure: UpstreamFailure) -> bool:
        """Whether a client's own key was used too often: that says nothing to other clients."""
        has_own_key = self.upstream.passes_client_key and call.client_key is not None
        return has_own_key and failure.status == _TOO_MANY

    def is_alive(self, failure: UpstreamFailure) -> bool:
        """Whether the server has answered, and might well answer another request."""
        kind = self.upstream.kind
        own = _ALIVE_BY_KIND.get(kind, ())
        return failure.status is not None and (failure.status in _ALIVE or failure.status in own)

    def _admit(self) -> "_Visit":
        permit = None if self.rest_s else self._breaker.admit()
        if permit is None:
            raise unavailable(self.upstream.name, self.ready_in_s)
        self.num_outstanding += 1
        return _Visit(self, permit)

    def _take(
        self, reply: UpstreamReply, visit: "_Visit", took_s: float, until: float | None
    ) -> UpstreamReply:
        self._answered()
        if isinstance(reply, WholeReply):
            if reply.status < 400:
                self._took(took_s)
            visit.succeeded()
            return reply
        self._took(took_s)
        visit.begun()
        return StreamedReply(
            reply.upstream, WatchedEvents(reply.events, visit, until, self.upstream.name)
        )

    def _ran_out(self, visit: "_Visit", had_s: float) -> None:
        """What was left after other attempts may have been too little for any server."""
        total_s = self.upstream.timeouts.total_s
        if total_s is not None and had_s < total_s / 2:
            visit.given_up()
        else:
            visit.failed(UpstreamFailure(self.upstream.name, UpstreamFault.TIMEOUT))

    def _took(self, took_s: float) -> None:
        mean = took_s if self.latency_s is None else self.latency_s
        self.latency_s = mean + _NEWEST * (took_s - mean)

    def _answered(self) -> None:
        # Who answers a request is reached, whatever the last look found.
        if self._check and not self._check.is_reachable:
            self._check = replace(self._check, is_reachable=True, error=None)

    @property
    def _standing(self) -> Standing:
        check = self._check
        if check and not check.is_reachable:
            return Standing.SILENT
        is_back = check is not None and self._checked_at > self._breaker.opened_at
        if is_back and self._breaker.state is BreakerState.HALF_OPEN:
            return Standing.RETURNING
        return Standing.WELL

    def leave(self, rest_s: float | None) -> None:
        """For its visits: one has ended, and the server may have asked to be left alone."""
        self.num_outstanding -= 1
        if rest_s is not None:
            self._rests_until = max(self._rests_until, self._clock() + rest_s)

    def _breaker_changed(self, state: BreakerState) -> None:
        level = logging.WARNING if state is BreakerState.OPEN else logging.INFO
        _logger.log(
            level, "upstream=%s url=%s breaker=%s", self.upstream.name, self.wire.url, state
        )
        for listener in self._listeners:
            listener(state)


class _Visit:
    """One request at one URL, which ends once."""

    def __init__(self, endpoint: Endpoint, permit: Permit) -> None:
        self._endpoint = endpoint
        self._permit = permit
        self._is_over = False

    def begun(self) -> None:
        self._permit.begun()

    def succeeded(self) -> None:
        if self._end():
            self._permit.succeeded()

    def failed(self, failure: UpstreamFailure) -> None:
        if not self._end(failure.retry_after_s):
            return
        if failure.fault is UpstreamFault.UNAVAILABLE:
            self._permit.abandoned()
        elif self._endpoint.is_alive(failure):
            self._permit.succeeded()
        else:
            self._permit.failed()

    def given_up(self) -> None:
        if self._end():
            self._permit.abandoned()

    def _end(self, rest_s: float | None = None) -> bool:
        is_first, self._is_over = not self._is_over, True
        if is_first:
            self._endpoint.leave(rest_s)
        return is_first
