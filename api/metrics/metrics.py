"""Owns the metrics of one application: what is counted, and how it is shown. Knows no HTTP."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from api.metrics.answers import AnswerCounts
from api.metrics.connections import connection_families
from api.metrics.engine import engine_families
from api.metrics.replies import ReplyCounts
from api.metrics.sources import MetricSources
from api.metrics.upstreams import upstream_families
from core.observation import AnswerSummary, ReplySummary

_OPEN_METRICS = "application/openmetrics-text"


class Metrics(Collector):
    """An observer, and what Prometheus asks for. Belongs to one event loop."""

    def __init__(self, sources: MetricSources) -> None:
        self._sources = sources
        self._answers = AnswerCounts(sources)
        self._replies = ReplyCounts()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def answer_grew(self, num_tokens: int, since_s: float, model: str) -> None:
        self._answers.grew(model, since_s)

    def answer_ended(self, summary: AnswerSummary) -> None:
        self._answers.ended(summary)
        self._replies.ended(summary)

    def replied(self, summary: ReplySummary) -> None:
        self._replies.replied(summary)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All of it, in OpenMetrics where `accept` names it, with its content type."""
        if _OPEN_METRICS in accept:
            # Its own default writes vllm: as vllm_, which is another name.
            body: bytes = openmetrics.generate_latest(  # type: ignore[no-untyped-call]
                self._registry, openmetrics.ALLOWUTF8
            )
            return body, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4

    def describe(self) -> list[Metric]:
        """Nothing: what is collected is asked for when it is shown, not when this is made."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield self._build()
        yield from engine_families(self._sources)
        yield from self._answers.families()
        yield from self._replies.families()
        yield from upstream_families(self._sources.states)
        yield from connection_families(self._sources.connections())

    def _build(self) -> Metric:
        build = GaugeMetricFamily(
            "jarvis_build_info", "What runs here: always 1.", labels=("version", "engine")
        )
        build.add_metric((self._sources.version, self._sources.status.engine), 1)
        return build
