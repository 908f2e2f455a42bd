"""Owns the way of one request over all servers that may answer it, until one does.

Knows neither clients nor which models a server has.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count, groupby

from backends.remote.chances import Chances, Route
from backends.remote.endpoint import Endpoint
from backends.remote.hedging import Attempt, Hedging
from backends.remote.retrying import Backoff, rounds
from backends.remote.unanswered import says_most
from backends.upstream import Place, UpstreamCall, UpstreamReply
from core.errors import UpstreamFailed

_logger = logging.getLogger(__name__)


class Sender:
    """Asks endpoints. Belongs to one event loop."""

    def __init__(self, endpoints: Sequence[Endpoint], backoff: Backoff | None = None) -> None:
        self._endpoints: dict[str, list[Endpoint]] = {}
        for endpoint in endpoints:
            self._endpoints.setdefault(endpoint.upstream.name, []).append(endpoint)
        self._backoff = backoff or Backoff()
        self._hedging = Hedging()
        self._turns = count()

    async def send(self, call: UpstreamCall, places: Sequence[Place]) -> UpstreamReply:
        """As UpstreamHost.send: those with the lowest priority first, which share by load."""
        errand = _Errand(call, next(self._turns), self._hedging)
        began = asyncio.get_running_loop().time()
        groups = [Chances(routes, began) for routes in self._groups(places)]
        for index, chances in enumerate(groups):
            later = groups[index + 1 :]
            try:
                return await errand.ask_round(chances, later)
            except UpstreamFailed as failed:
                more = _MoreRounds(errand, failed)
            try:
                reply: UpstreamReply = await rounds(chances, self._backoff)(
                    more.ask_round, chances, later
                )
            except UpstreamFailed:
                continue
            return reply
        raise says_most(errand.failures)

    def _groups(self, places: Sequence[Place]) -> list[list[Route]]:
        routes = [
            Route(endpoint, place.model)
            for place in places
            for endpoint in self._endpoints[place.upstream]
        ]
        routes.sort(key=_priority)
        return [list(group) for _, group in groupby(routes, key=_priority)]


class _Errand:
    """One request under way. `failures` are those of all attempts until now."""

    def __init__(self, call: UpstreamCall, turn: int, hedging: Hedging) -> None:
        self.failures: list[UpstreamFailed] = []
        self._call = call
        self._turn = turn
        self._hedging = hedging
        self._num_attempts = 0

    async def ask_round(self, chances: Chances, later: Sequence[Chances]) -> UpstreamReply:
        """Asks each that is free, one at once after another, until one answers. Raises the last
        one's failure. `later` are asked for hedging alone.
        """
        pending = chances.ordered(self._call.prompt_start, self._turn, _now())
        last: UpstreamFailed | None = None
        while pending:
            route = pending.pop(0)
            if not chances.can_ask(route, _now()):
                continue
            try:
                return await self._ask(chances, route, partial(self._next, chances, pending, later))
            except UpstreamFailed as failed:
                last = failed
        if last is None:
            last = chances.unavailable()
            self.failures.append(last)
        raise last

    async def _ask(
        self, chances: Chances, route: Route, second: Callable[[], Attempt | None]
    ) -> UpstreamReply:
        chances.spend(route)
        hedge_after_s = route.endpoint.upstream.hedge_after_s
        if hedge_after_s is None:
            return await self._attempt(chances, route)
        first = partial(self._attempt, chances, route)
        return await self._hedging.first_of(first, second, hedge_after_s)

    def _next(
        self, chances: Chances, pending: list[Route], later: Sequence[Chances]
    ) -> Attempt | None:
        """Who is asked beside the one that has not begun: the next of its kind, or a later one."""
        while pending:
            route = pending.pop(0)
            if chances.can_help(route, _now()):
                return partial(self._attempt, chances, route)
        for others in later:
            for route in others.ordered(self._call.prompt_start, self._turn, _now())[:1]:
                return partial(self._attempt, others, route)
        return None

    async def _attempt(self, chances: Chances, route: Route) -> UpstreamReply:
        self._num_attempts += 1
        number, endpoint = self._num_attempts, route.endpoint
        try:
            return await endpoint.ask(self._call, route.model, chances.until(route))
        except UpstreamFailed as failed:
            if endpoint.is_clients_affair(self._call, failed.failure):
                chances.drop(route)
            chances.note(route, failed.failure)
            self.failures.append(failed)
            _logger.warning(
                "id=%s upstream=%s url=%s attempt=%d fault=%s status=%s",
                self._call.id,
                endpoint.upstream.name,
                endpoint.wire.url,
                number,
                failed.failure.fault.name,
                failed.failure.status,
            )
            raise


class _MoreRounds:
    """Rounds of which the first one is over. Making ready for several takes a tenth of the time of
    a request, and most need one.
    """

    def __init__(self, errand: _Errand, failed: UpstreamFailed) -> None:
        self._errand = errand
        self._failed: UpstreamFailed | None = failed

    async def ask_round(self, chances: Chances, later: Sequence[Chances]) -> UpstreamReply:
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        return await self._errand.ask_round(chances, later)


def _priority(route: Route) -> int:
    return route.endpoint.upstream.priority


def _now() -> float:
    return asyncio.get_running_loop().time()
