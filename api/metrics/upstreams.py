"""Owns how other servers are shown, as they are when metrics are asked for. Counts nothing."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from backends.upstream import BreakerState, EndpointState, UpstreamState

_LABELS = ("upstream", "url")


def upstream_families(states: Sequence[UpstreamState]) -> Iterator[Metric]:
    """Nothing where there are none."""
    if not states:
        return
    usable = GaugeMetricFamily(
        "jarvis_upstream_usable", "1 where a request would reach it.", labels=("upstream",)
    )
    for state in states:
        usable.add_metric((state.name,), int(state.is_usable))
    yield usable
    yield from _endpoint_families(
        [((state.name, each.url), each) for state in states for each in state.endpoints]
    )


def _endpoint_families(
    endpoints: Sequence[tuple[tuple[str, str], EndpointState]],
) -> Iterator[Metric]:
    reachable = GaugeMetricFamily(
        "jarvis_upstream_reachable", "1 where the last look at it reached it.", labels=_LABELS
    )
    outstanding = GaugeMetricFamily(
        "jarvis_upstream_outstanding_requests", "Requests under way there.", labels=_LABELS
    )
    latency = GaugeMetricFamily(
        "jarvis_upstream_latency_seconds",
        "The moving mean time to the first piece of an answer, in seconds.",
        labels=_LABELS,
    )
    breaker = GaugeMetricFamily(
        "jarvis_upstream_breaker_state",
        "1 for the state that the breaker is in.",
        labels=(*_LABELS, "state"),
    )
    for where, endpoint in endpoints:
        outstanding.add_metric(where, endpoint.num_outstanding)
        if endpoint.is_reachable is not None:
            reachable.add_metric(where, int(endpoint.is_reachable))
        if endpoint.latency_s is not None:
            latency.add_metric(where, endpoint.latency_s)
        for state in BreakerState:
            breaker.add_metric((*where, state.value), int(state is endpoint.breaker))
    yield from (reachable, outstanding, latency, breaker)
