"""What is read of the engine, the queue and other servers when metrics are shown."""

import pytest

from api.metrics.metrics import Metrics
from api.metrics.sources import MetricSources
from backends.remote.server_metrics import ServerLoad, read_load
from core.engine_stats import EngineStats
from core.lifecycle import EngineState, EngineStatus
from core.upstreams import UpstreamKind
from tests.api.metrics.shown import MODEL, Line, Local, metrics_of, value, values

BUSY = EngineStats(
    num_running=3,
    num_waiting=2,
    kv_cache_usage=0.25,
    num_preemptions=4,
    num_steps=50,
    step_s=1.5,
)


def test_the_engine_is_shown_as_it_is_now() -> None:
    local = Local()
    metrics = metrics_of(local)
    assert value(metrics, "vllm:num_requests_running") == 0
    local.stats = BUSY
    assert value(metrics, "vllm:num_requests_running") == 3
    assert value(metrics, "vllm:num_requests_waiting") == 2
    assert value(metrics, "vllm:kv_cache_usage_perc") == 0.25
    assert value(metrics, "vllm:num_preemptions_total") == 4
    assert value(metrics, "jarvis_engine_steps_total") == 50
    assert value(metrics, "jarvis_engine_step_seconds_total") == 1.5


def test_who_waits_before_the_engine_waits_as_well() -> None:
    metrics = metrics_of(Local(stats=BUSY), Line(7, 900, 12.5))
    assert value(metrics, "vllm:num_requests_waiting") == 9
    assert value(metrics, "vllm:num_requests_waiting_by_reason", reason="capacity") == 9
    assert value(metrics, "jarvis_queue_oldest_seconds") == 12.5
    assert value(metrics, "jarvis_queued_tokens") == 900


@pytest.mark.parametrize("state", EngineState)
def test_one_state_is_one(state: EngineState) -> None:
    metrics = metrics_of(Local(status=EngineStatus(state, "vllm", num_restarts=2)))
    found = values(metrics, "jarvis_engine_state")
    assert found == {(("state", each.value),): float(each is state) for each in EngineState}
    assert value(metrics, "jarvis_engine_restarts_total") == 2
    assert value(metrics, "jarvis_build_info", version="0.1.0") == 1


def test_another_of_our_servers_reads_how_busy_this_one_is() -> None:
    metrics = metrics_of(Local(stats=BUSY), Line(num_waiting=7))
    for accept in ("", "application/openmetrics-text"):
        load = read_load(metrics.exposition(accept)[0], UpstreamKind.JARVIS)
        assert load == ServerLoad(num_running=3, num_waiting=9, kv_cache_usage=0.25)


def test_an_application_has_metrics_of_its_own() -> None:
    first, second = metrics_of(), metrics_of()
    first.answer_grew(1, 0.1, MODEL)
    assert value(first, "vllm:inter_token_latency_seconds_count") == 1
    assert value(second, "vllm:inter_token_latency_seconds_count") == 0


def test_the_process_is_shown() -> None:
    metrics = metrics_of()
    assert value(metrics, "process_resident_memory_bytes") > 1 << 20
    assert value(metrics, "process_open_fds") > 0


def test_without_anything_there_is_something_to_show() -> None:
    metrics = Metrics(MetricSources("0.1.0", "nothing", None))
    assert value(metrics, "vllm:num_requests_running") == 0
    assert value(metrics, "jarvis_engine_state", state="failed") == 0
