"""Metrics over sources that a test sets, and what they show, parsed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from api.metrics.metrics import Metrics
from api.metrics.sources import MetricSources
from core.engine_stats import IDLE, EngineStats
from core.errors import EngineUnavailable
from core.lifecycle import EngineState, EngineStatus
from core.observation import AnswerSummary, Outcome, ReplySummary

MODEL = "jarvis-tiny"
WINDOW = 256
Labels = Mapping[str, str]


@dataclass
class Card:
    context_window: int = WINDOW


@dataclass
class Local:
    """An engine as a test wants it."""

    status: EngineStatus = field(
        default_factory=lambda: EngineStatus(EngineState.READY, "llama_cpp")
    )
    stats: EngineStats = IDLE
    is_loaded: bool = True

    @property
    def card(self) -> Card:
        if not self.is_loaded:
            raise EngineUnavailable("loading")
        return Card()


@dataclass
class Line:
    """A queue as a test wants it."""

    num_waiting: int = 0
    num_waiting_tokens: int = 0
    oldest_s: float = 0.0


def metrics_of(local: Local | None = None, queue: Line | None = None) -> Metrics:
    return Metrics(MetricSources("0.1.0", MODEL, local or Local(), queue))


def families(metrics: Metrics) -> dict[str, Metric]:
    """By name, as Prometheus reads them."""
    text = metrics.exposition("")[0].decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def open_families(metrics: Metrics) -> dict[str, Metric]:
    """By name, as who asks for OpenMetrics reads them."""
    text = metrics.exposition("application/openmetrics-text;version=1.0.0")[0].decode()
    read = open_metrics(text)  # type: ignore[no-untyped-call]
    return {family.name: family for family in read}


def values(metrics: Metrics, sample: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Of one sample's name, by labels in order, without those that every series has."""
    lines = metrics.exposition("")[0].decode().splitlines()
    # The parser is slow, and most lines are not asked for.
    wanted = [line for line in lines if line.startswith((f"{sample}{{", f"{sample} "))]
    found = {}
    for family in text_string_to_metric_families("\n".join(wanted)):
        for each in family.samples:
            labels = {name: text for name, text in each.labels.items() if name != "engine"}
            found[tuple(sorted(labels.items()))] = each.value
    return found


def value(metrics: Metrics, sample: str, **labels: str) -> float:
    """The one series with these labels beside those that every series has."""
    found = {
        key: number
        for key, number in values(metrics, sample).items()
        if set(labels.items()) <= set(key)
    }
    assert len(found) == 1, (sample, labels, found)
    return next(iter(found.values()))


def answer(**changes: object) -> AnswerSummary:
    """A whole one, but for what is changed."""
    facts: dict[str, object] = {
        "id": "chatcmpl-1",
        "account": "",
        "model": MODEL,
        "outcome": Outcome.DONE,
        "finish_reasons": ("stop",),
        "num_prompt_tokens": 10,
        "num_completion_tokens": 21,
        "num_reused": 4,
        "queue_s": 0.5,
        "first_token_s": 0.75,
        "total_s": 2.75,
        "max_tokens": 64,
    }
    return AnswerSummary(**{**facts, **changes})  # type: ignore[arg-type]


def reply(**changes: object) -> ReplySummary:
    """To a chat, but for what is changed."""
    facts: dict[str, object] = {
        "request_id": "request-1",
        "account": "",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "error": None,
        "is_whole": True,
        "total_s": 3.0,
    }
    return ReplySummary(**{**facts, **changes})  # type: ignore[arg-type]
