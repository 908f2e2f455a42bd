"""Owns who may be asked how often for one request, among servers of one priority.

Asks none, and waits for none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backends.remote.balancing import order
from backends.remote.endpoint import Endpoint
from backends.remote.unanswered import says_most, unavailable
from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault


@dataclass(frozen=True, slots=True)
class Route:
    """A URL, and the model's name there."""

    endpoint: Endpoint
    model: str


class Chances:
    """What one request may still try. Each upstream is asked once, and again as often as its
    `max_retries` says; its URLs share that. Times are the event loop's.
    """

    def __init__(self, routes: Sequence[Route], began: float) -> None:
        """`began` is when the request came."""
        self._routes = tuple(routes)
        self._began = began
        self._left = {r.endpoint.upstream.name: r.endpoint.upstream.max_retries + 1 for r in routes}
        # How often one of them may be asked at most, as long as none was.
        self.num_most = max(self._left.values())
        self._dropped: set[Endpoint] = set()

    def until(self, route: Route) -> float | None:
        """When the whole request must be over where `route` answers it."""
        total_s = route.endpoint.upstream.timeouts.total_s
        return None if total_s is None else self._began + total_s

    def ordered(self, prompt_start: bytes, turn: int, now: float) -> list[Route]:
        """Those that may be asked now, in order."""
        free = [route for route in self._routes if self.can_ask(route, now)]
        if len(free) < 2:
            return free
        indices = order([route.endpoint.candidate for route in free], prompt_start, turn)
        return [free[index] for index in indices]

    def can_ask(self, route: Route, now: float) -> bool:
        return self._left[route.endpoint.upstream.name] > 0 and self.can_help(route, now)

    def can_help(self, route: Route, now: float) -> bool:
        """Whether it may be asked beside another one, which is no attempt of its own."""
        return route.endpoint.is_free and self._is_worth_asking(route, now)

    def spend(self, route: Route) -> None:
        """It is about to be asked."""
        self._left[route.endpoint.upstream.name] -= 1

    def note(self, route: Route, failure: UpstreamFailure) -> None:
        """It failed so."""
        if not _may_pass(failure):
            self.drop(route)

    def drop(self, route: Route) -> None:
        """It is asked no more."""
        self._dropped.add(route.endpoint)

    def rest_s(self, now: float) -> float | None:
        """For how long all of those that may be asked at `now` want to be left alone; None where
        none may be.
        """
        rests = [
            route.endpoint.rest_s
            for route in self._routes
            if self._left[route.endpoint.upstream.name] > 0
            and route.endpoint.is_admitting
            and self._is_worth_asking(route, now)
        ]
        return min(rests, default=None)

    def unavailable(self) -> UpstreamFailed:
        """What to say where none could be asked: when the first one can be."""
        endpoints = [route.endpoint for route in self._routes]
        return says_most([unavailable(each.upstream.name, each.ready_in_s) for each in endpoints])

    def _is_worth_asking(self, route: Route, now: float) -> bool:
        until = self.until(route)
        return route.endpoint not in self._dropped and (until is None or now < until)


def _may_pass(failure: UpstreamFailure) -> bool:
    """Whether the same server may answer a moment later. One that took too long would again, and
    where one points is not followed.
    """
    if failure.fault is UpstreamFault.STATUS:
        return failure.status is not None and not 300 <= failure.status < 400
    return failure.fault in (UpstreamFault.CONNECTION, UpstreamFault.BROKEN)
