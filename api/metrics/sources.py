"""Owns what is read when metrics are shown: the engine, the queue before it, other servers. Counts
nothing itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from api.metrics.connections import ConnectionCounts
from api.remote.shown import remote_status
from backends.upstream import UpstreamHost, UpstreamState
from core.engine_stats import EngineStats
from core.errors import EngineUnavailable
from core.lifecycle import EngineStatus

# Until any other server has said which it has.
NO_MODEL = "remote"


class _Card(Protocol):
    @property
    def context_window(self) -> int: ...


class LocalEngine(Protocol):
    """What is read of the engine in this process."""

    @property
    def status(self) -> EngineStatus: ...

    @property
    def stats(self) -> EngineStats: ...

    @property
    def card(self) -> _Card:
        """Raises EngineUnavailable until it is loaded."""
        ...


class Queue(Protocol):
    """What is read of those who wait for the engine."""

    @property
    def num_waiting(self) -> int: ...

    @property
    def num_waiting_tokens(self) -> int: ...

    @property
    def oldest_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class MetricSources:
    """`model` is the id that is served here, `local` None where other servers alone answer."""

    version: str
    model: str
    local: LocalEngine | None
    queue: Queue | None = None
    upstreams: UpstreamHost | None = None
    connections: Callable[[], ConnectionCounts | None] = lambda: None

    @property
    def own_model(self) -> str:
        """Whom the engine's numbers are told of: without one, the first model elsewhere."""
        if self.local is not None or self.upstreams is None:
            return self.model
        return next((model.name for model in self.upstreams.models()), NO_MODEL)

    @property
    def status(self) -> EngineStatus:
        return remote_status(self.states) if self.local is None else self.local.status

    @property
    def states(self) -> tuple[UpstreamState, ...]:
        return () if self.upstreams is None else self.upstreams.states()

    @property
    def stats(self) -> EngineStats:
        """Those of the engine; without one, what is under way at other servers."""
        if self.local is not None:
            return self.local.stats
        endpoints = [each for state in self.states for each in state.endpoints]
        return EngineStats(
            num_running=sum(each.num_outstanding for each in endpoints),
            kv_cache_usage=max((each.kv_cache_usage or 0.0 for each in endpoints), default=0.0),
        )

    def window(self, model: str) -> int | None:
        """How long prompt and answer together may be; None where nobody says."""
        if self.local is not None and model == self.model:
            return _window_here(self.local)
        models = () if self.upstreams is None else self.upstreams.models()
        told = (each.facts.get("max_model_len") for each in models if each.name == model)
        return next((length for length in told if type(length) is int and length > 0), None)


def _window_here(local: LocalEngine) -> int | None:
    try:
        return local.card.context_window
    except EngineUnavailable:
        return None
