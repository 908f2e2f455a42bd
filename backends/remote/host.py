"""Owns the upstreams as one: their wires, who asks them, what is known of them, from start to end.

Knows nothing of how any of it is done.
"""

import asyncio
from collections.abc import Callable

from backends.remote.directory import Directory
from backends.remote.endpoint import Endpoint
from backends.remote.http_wire import HttpWire
from backends.remote.sending import Sender
from backends.remote.watch import Watch
from backends.remote.wire import Wire
from backends.upstream import Place, RemoteModel, UpstreamCall, UpstreamReply, UpstreamState
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan

# How long a name that nobody is known to have waits for servers that are slow to tell.
_PATIENCE_S = 5.0


class RemoteHost:
    """Implements UpstreamHost. Belongs to one event loop; nothing is asked before `start`."""

    def __init__(
        self, plan: UpstreamPlan, make_wire: Callable[[Upstream, str], Wire] = HttpWire
    ) -> None:
        """Raises ConfigurationError where a wire can't be made."""
        self._plan = plan
        self._endpoints = tuple(
            Endpoint(upstream, make_wire(upstream, url))
            for upstream in plan.upstreams
            for url in upstream.base_urls
        )
        self._kinds = {upstream.name: upstream.kind for upstream in plan.upstreams}
        self._sender = Sender(self._endpoints)
        self._directory = Directory(plan.upstreams)
        self._watch = Watch(self._endpoints, self._directory, plan.refresh_s)

    @property
    def plan(self) -> UpstreamPlan:
        return self._plan

    def start(self) -> None:
        """Begins to look at the servers; waits for none of them."""
        self._watch.start()

    async def close(self) -> None:
        """Ends what is under way. Idempotent."""
        await self._watch.close()
        await asyncio.gather(*(endpoint.wire.close() for endpoint in self._endpoints))

    async def find(self, name: str | None) -> tuple[Place, ...]:
        """As UpstreamHost says."""
        wanted = name or ""
        if not self._is_settled(wanted):
            await self._look_for(wanted)
        return self._directory.find(wanted)

    async def send(self, call: UpstreamCall, places: tuple[Place, ...]) -> UpstreamReply:
        """As UpstreamHost says."""
        return await self._sender.send(call, places)

    def kind_of(self, upstream: str) -> UpstreamKind:
        return self._kinds[upstream]

    def models(self) -> tuple[RemoteModel, ...]:
        return self._directory.models()

    def states(self) -> tuple[UpstreamState, ...]:
        return tuple(
            UpstreamState(
                upstream.name,
                upstream.kind,
                tuple(each.state for each in self._endpoints if each.upstream is upstream),
                self._directory.models_of(upstream.name),
            )
            for upstream in self._plan.upstreams
        )

    def _is_settled(self, name: str) -> bool:
        """Whether a look at the servers is not worth its time for a name."""
        if self._directory.is_sure(name):
            return True
        return not name and self._watch.has_seen_all and bool(self._directory.find(name))

    async def _look_for(self, name: str) -> None:
        """Waits until a server has the name, or until all were looked at."""
        looks = self._watch.look_again()
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE_S
        while looks and loop.time() < until and not self._is_settled(name):
            _, looks = await asyncio.wait(
                looks, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED
            )
