"""Requests as spans, as a collector gets them; and nothing at all where none is wanted."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from api.tracing.wanted import open_spans
from core.errors import ConfigurationError
from core.observation import Outcome, ReplySummary
from tests.api.metrics.otlp_collector import Collector, attributes_of, collecting
from tests.api.metrics.shown import answer, reply

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as started:
        monkeypatch.setenv(ENDPOINT, started.url)
        yield started


async def told(collector: Collector, *replies: ReplySummary) -> list[Span]:
    spans = open_spans(os.environ, "9.8.7", is_offline=True)
    assert spans is not None
    for each in replies:
        spans.replied(each)
    await spans.close()
    return collector.spans


async def test_an_answer_is_one_span_with_what_is_known_of_it(collector: Collector) -> None:
    ended = answer(num_choices=2, finish_reasons=("stop", "length"), upstream="b")
    (span,) = await told(collector, reply(answer=ended, trace_parent=SAMPLED))
    assert collector.paths == ["/v1/traces"]
    assert span.name == "POST /v1/chat/completions"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert span.end_time_unix_nano - span.start_time_unix_nano == 3_000_000_000
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert attributes_of(span) == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "jarvis.reply.is_whole": True,
        "jarvis.outcome": "done",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "b",
        "gen_ai.request.model": "jarvis-tiny",
        "gen_ai.response.model": "jarvis-tiny",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ("stop", "length"),
        "gen_ai.request.max_tokens": 64,
        "gen_ai.request.choice.count": 2,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 21,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.latency.time_in_queue": 0.5,
        "gen_ai.latency.time_to_first_token": 0.75,
        "gen_ai.latency.e2e": 2.75,
    }


async def test_a_span_belongs_to_the_trace_that_the_request_came_with(collector: Collector) -> None:
    with_parent, alone = await told(collector, reply(trace_parent=SAMPLED), reply())
    assert with_parent.trace_id.hex() == TRACE_ID
    assert with_parent.parent_span_id.hex() == PARENT_ID
    assert alone.trace_id.hex() != TRACE_ID
    assert alone.parent_span_id == b""


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{PARENT_ID}-01", "00-x-y-01"])
async def test_a_parent_that_is_none_begins_a_trace(collector: Collector, header: str) -> None:
    (span,) = await told(collector, reply(trace_parent=header))
    assert span.parent_span_id == b""


async def test_who_does_not_sample_is_obeyed(collector: Collector) -> None:
    assert await told(collector, reply(trace_parent=SAMPLED[:-1] + "0")) == []


@pytest.mark.parametrize(
    ("ended", "is_error"),
    [
        (reply(status=500, error="engine_failed"), True),
        (reply(answer=answer(outcome=Outcome.FAILED), error="engine_failed"), True),
        (reply(answer=answer(outcome=Outcome.EXPIRED), error="deadline_exceeded"), True),
        (reply(status=400, error="invalid_value"), False),
        (reply(answer=answer(outcome=Outcome.GONE), is_whole=False), False),
    ],
)
async def test_what_failed_here_is_an_error(
    collector: Collector, ended: ReplySummary, is_error: bool
) -> None:
    (span,) = await told(collector, ended)
    assert (span.status.code == Status.STATUS_CODE_ERROR) is is_error
    assert attributes_of(span).get("error.type") == ended.error


async def test_what_machines_ask_all_the_time_is_no_span(collector: Collector) -> None:
    spans = await told(collector, reply(route="/metrics"), reply(route="/health/ready"))
    assert spans == []


async def test_neither_keys_nor_ids_of_clients_are_told(collector: Collector) -> None:
    await told(collector, reply(account="phone-key", request_id="from-client", answer=answer()))
    assert b"phone-key" not in collector.bodies[0]
    assert b"from-client" not in collector.bodies[0]


@pytest.mark.parametrize("name", [None, "mine"])
async def test_the_service_is_named_and_the_environment_may_name_it_otherwise(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    if name is not None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    await told(collector, reply())
    assert collector.resource["service.name"] == (name or "jarvis-llm-proxy")
    assert collector.resource["service.version"] == "9.8.7"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {ENDPOINT: ""},
        {ENDPOINT: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "TRUE"},
        {ENDPOINT: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_opened_where_nobody_wants_traces(environ: dict[str, str]) -> None:
    assert open_spans(environ, "1", is_offline=False) is None


@pytest.mark.parametrize("host", ["collector", "10.1.2.3", "[2001:db8::1]", "localhost.evil.test"])
def test_offline_no_trace_may_leave_this_machine(host: str) -> None:
    environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{host}:4318/v1/traces"}
    with pytest.raises(ConfigurationError, match="JARVIS_OFFLINE"):
        open_spans(environ, "1", is_offline=True)


def test_a_protocol_that_is_not_spoken_is_refused() -> None:
    environ = {ENDPOINT: "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(ConfigurationError, match="http/protobuf"):
        open_spans(environ, "1", is_offline=False)


def test_a_variable_without_sense_is_told_of(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(ConfigurationError, match="OpenTelemetry"):
        open_spans(os.environ, "1", is_offline=False)


@pytest.mark.timeout(60)
def test_without_an_endpoint_none_of_it_is_loaded() -> None:
    code = (
        "import sys, api.app; from api.tracing.wanted import open_spans;"
        "assert open_spans({}, '1', is_offline=False) is None;"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
