"""What stands for an engine's numbers where other servers alone answer."""

import pytest

from api.metrics.sources import MetricSources
from backends.upstream import (
    BreakerState,
    EndpointState,
    Place,
    RemoteModel,
    UpstreamCall,
    UpstreamReply,
    UpstreamState,
)
from core.lifecycle import EngineState
from core.upstreams import UpstreamKind, UpstreamPlan
from tests.api.metrics.shown import MODEL, WINDOW, Local


class Host:
    """Upstreams as a test wants them, that nobody sends to."""

    plan = UpstreamPlan()

    def __init__(self, models: tuple[RemoteModel, ...], *endpoints: EndpointState) -> None:
        self._models = models
        self._states = (UpstreamState("a", UpstreamKind.VLLM, endpoints, models),)

    async def find(self, name: str | None) -> tuple[Place, ...]:
        return ()

    async def send(self, call: UpstreamCall, places: tuple[Place, ...]) -> UpstreamReply:
        raise NotImplementedError

    def kind_of(self, upstream: str) -> UpstreamKind:
        return UpstreamKind.VLLM

    def models(self) -> tuple[RemoteModel, ...]:
        return self._models

    def states(self) -> tuple[UpstreamState, ...]:
        return self._states


def endpoint(num_outstanding: int, usage: float | None, *, is_reachable: bool) -> EndpointState:
    return EndpointState(
        url="http://there/v1",
        is_reachable=is_reachable,
        breaker=BreakerState.CLOSED,
        num_outstanding=num_outstanding,
        latency_s=None,
        error=None,
        kv_cache_usage=usage,
    )


def test_requests_elsewhere_are_summed_and_the_fullest_cache_counts() -> None:
    host = Host(
        (),
        endpoint(2, 0.25, is_reachable=True),
        endpoint(3, 0.75, is_reachable=False),
        endpoint(4, None, is_reachable=True),
    )
    sources = MetricSources("1", MODEL, None, upstreams=host)
    assert sources.stats.num_running == 9
    assert sources.stats.kv_cache_usage == 0.75
    assert sources.status.state is EngineState.READY


def test_the_engine_here_is_told_of_even_beside_other_servers() -> None:
    host = Host((RemoteModel("there", ()),), endpoint(2, 0.25, is_reachable=True))
    sources = MetricSources("1", MODEL, Local(), upstreams=host)
    assert sources.own_model == MODEL
    assert sources.stats.num_running == 0
    assert sources.window(MODEL) == WINDOW


@pytest.mark.parametrize(
    ("told", "window"), [(4096, 4096), (None, None), (True, None), ("4096", None), (-1, None)]
)
def test_a_window_is_what_a_server_says_if_it_can_be_one(told: object, window: int | None) -> None:
    host = Host((RemoteModel("there", (), {"max_model_len": told}),))
    sources = MetricSources("1", MODEL, None, upstreams=host)
    assert sources.own_model == "there"
    assert sources.window("there") == window
    assert sources.window("elsewhere") is None
