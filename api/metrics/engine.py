"""Owns how the engine and the queue before it are shown, as they are when metrics are asked for.
Counts nothing.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from api.metrics.answers import ENGINE, LABELS
from api.metrics.sources import MetricSources
from core.engine_stats import EngineStats
from core.lifecycle import EngineState, EngineStatus


def engine_families(sources: MetricSources) -> Iterator[Metric]:
    """By vLLM's names, then by ours."""
    stats, queue = sources.stats, sources.queue
    num_before = 0 if queue is None else queue.num_waiting
    yield from _vllm_families(stats, num_before, sources.own_model)
    yield from _state_families(sources.status)
    yield CounterMetricFamily(
        "jarvis_engine_steps", "Steps of computing since the model was loaded.", stats.num_steps
    )
    yield CounterMetricFamily(
        "jarvis_engine_step_seconds", "The time they took together, in seconds.", stats.step_s
    )
    yield GaugeMetricFamily(
        "jarvis_queue_oldest_seconds",
        "How long the one has waited that waits longest for the engine, in seconds.",
        0.0 if queue is None else queue.oldest_s,
    )
    yield GaugeMetricFamily(
        "jarvis_queued_tokens",
        "Prompt tokens of those that wait before the engine.",
        0 if queue is None else queue.num_waiting_tokens,
    )


def _vllm_families(stats: EngineStats, num_before: int, model: str) -> Iterator[Metric]:
    num_waiting = num_before + stats.num_waiting
    gauges = (
        ("vllm:num_requests_running", "Sequences that are computed.", stats.num_running),
        ("vllm:num_requests_waiting", "Sequences that wait to be computed.", num_waiting),
        (
            "vllm:kv_cache_usage_perc",
            "The share of the KV cache that is taken; 1 is all of it.",
            stats.kv_cache_usage,
        ),
    )
    for name, meaning, value in gauges:
        gauge = GaugeMetricFamily(name, meaning, labels=LABELS)
        gauge.add_metric((model, ENGINE), value)
        yield gauge
    by_reason = GaugeMetricFamily(
        "vllm:num_requests_waiting_by_reason",
        "Sequences that wait, by why: all for a place.",
        labels=(*LABELS, "reason"),
    )
    for reason, number in (("capacity", num_waiting), ("deferred", 0)):
        by_reason.add_metric((model, ENGINE, reason), number)
    yield by_reason
    yield from _constant_families(model)
    preemptions = CounterMetricFamily(
        "vllm:num_preemptions",
        "How often a sequence lost its place in the KV cache to another.",
        labels=LABELS,
    )
    preemptions.add_metric((model, ENGINE), stats.num_preemptions)
    yield preemptions


def _constant_families(model: str) -> Iterator[Metric]:
    """What there is none of on any engine, told for who adds it up or alerts on it."""
    for name, meaning in (
        ("vllm:external_prefix_cache_queries", "Prompt tokens looked up in caches of others."),
        ("vllm:external_prefix_cache_hits", "Prompt tokens found there."),
        ("vllm:mm_cache_queries", "Images and sounds looked up for reuse."),
        ("vllm:mm_cache_hits", "Images and sounds found there."),
    ):
        none = CounterMetricFamily(name, f"{meaning} Always 0.", labels=LABELS)
        none.add_metric((model, ENGINE), 0)
        yield none
    sleep = GaugeMetricFamily(
        "vllm:engine_sleep_state",
        "1 for the state that the engine is in: it never sleeps.",
        labels=(*LABELS, "sleep_state"),
    )
    for state, number in (("awake", 1), ("weights_offloaded", 0), ("discard_all", 0)):
        sleep.add_metric((model, ENGINE, state), number)
    yield sleep


def _state_families(status: EngineStatus) -> Iterator[Metric]:
    states = GaugeMetricFamily(
        "jarvis_engine_state", "1 for the state that the engine is in.", labels=("state",)
    )
    for state in EngineState:
        states.add_metric((state.value,), int(state is status.state))
    yield states
    yield CounterMetricFamily(
        "jarvis_engine_restarts", "How often a dead engine was loaded again.", status.num_restarts
    )
