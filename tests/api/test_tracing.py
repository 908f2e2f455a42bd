"""Requests as spans, as a collector gets them; and nothing at all where none is wanted."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from api.tracing.trace_headers import trace_headers_of
from api.tracing.wanted import open_spans
from core.errors import ConfigurationError
from core.observation import Outcome, ReplySummary
from core.request_context import TraceHeaders
from tests.api.metrics.otlp_collector import Collector, attributes_of, collecting
from tests.api.metrics.shown import answer, reply

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01"
STATE = "vendor=a b,other@tenant=c"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as started:
        monkeypatch.setenv(ENDPOINT, started.url)
        yield started


@dataclass
class Asked:
    """A request that came with these headers, and how it ended. `onward` are those that go on."""

    reply: ReplySummary
    given: TraceHeaders = ()
    onward: TraceHeaders = ()


def asked(parent: str = "", state: str = "", **changes: object) -> Asked:
    given = ((b"traceparent", parent.encode()), (b"tracestate", state.encode()))
    return Asked(reply(**changes), trace_headers_of(given))


async def told(collector: Collector, *all_asked: Asked) -> list[Span]:
    spans = open_spans(os.environ, "9.8.7", is_offline=True)
    assert spans is not None
    for each in all_asked:
        each.onward = spans.begin(each.given)
        spans.replied(each.reply)
    await spans.close()
    return collector.spans


async def test_an_answer_is_one_span_with_what_is_known_of_it(collector: Collector) -> None:
    ended = answer(num_choices=2, finish_reasons=("stop", "length"), upstream="b")
    before = time.time_ns()
    (span,) = await told(collector, asked(SAMPLED, answer=ended))
    assert collector.paths == ["/v1/traces"]
    assert span.name == "POST /v1/chat/completions"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert before <= span.start_time_unix_nano <= span.end_time_unix_nano <= time.time_ns()
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


async def test_numbers_that_a_server_did_not_tell_are_not_told(collector: Collector) -> None:
    (span,) = await told(collector, asked(answer=answer(is_counted=False)))
    assert not [name for name in attributes_of(span) if name.startswith("gen_ai.usage")]


async def test_a_span_belongs_to_the_trace_that_the_request_came_with(collector: Collector) -> None:
    with_parent, alone = await told(collector, asked(SAMPLED), asked())
    assert with_parent.trace_id.hex() == TRACE_ID
    assert with_parent.parent_span_id.hex() == PARENT_ID
    assert alone.trace_id.hex() != TRACE_ID
    assert alone.parent_span_id == b""


async def test_what_a_request_leads_to_belongs_to_its_span(collector: Collector) -> None:
    first, second = asked(SAMPLED, STATE), asked()
    spans = await told(collector, first, second)
    for each, span in zip((first, second), spans, strict=True):
        parent = dict(each.onward)[b"traceparent"].decode()
        version, trace_id, span_id, flags = parent.split("-")
        assert (version, trace_id, span_id) == ("00", span.trace_id.hex(), span.span_id.hex())
        assert int(flags, 16) & 1
    assert dict(first.onward)[b"tracestate"].decode() == STATE
    assert b"tracestate" not in dict(second.onward)


async def test_requests_at_the_same_time_have_spans_of_their_own(collector: Collector) -> None:
    spans = open_spans(os.environ, "9.8.7", is_offline=True)
    assert spans is not None
    both_began = asyncio.Barrier(2)

    async def answered(route: str) -> None:
        spans.begin(())
        await both_began.wait()
        spans.replied(reply(route=route))

    await asyncio.gather(answered("/a"), answered("/b"))
    await spans.close()
    assert sorted(span.name for span in collector.spans) == ["POST /a", "POST /b"]


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{PARENT_ID}-01", "00-x-y-01"])
async def test_a_parent_that_is_none_begins_a_trace(collector: Collector, header: str) -> None:
    (span,) = await told(collector, asked(header))
    assert span.parent_span_id == b""


async def test_who_does_not_sample_is_obeyed_and_so_are_those_that_are_asked(
    collector: Collector,
) -> None:
    unsampled = asked(SAMPLED[:-1] + "0")
    assert await told(collector, unsampled) == []
    trace_id, span_id, flags = dict(unsampled.onward)[b"traceparent"].decode()[3:].split("-")
    assert trace_id == TRACE_ID
    assert span_id != PARENT_ID
    assert int(flags, 16) & 1 == 0


@pytest.mark.parametrize(
    ("ended", "is_error"),
    [
        (asked(status=500, error="engine_failed"), True),
        (asked(answer=answer(outcome=Outcome.FAILED), error="engine_failed"), True),
        (asked(answer=answer(outcome=Outcome.EXPIRED), error="deadline_exceeded"), True),
        (asked(status=400, error="invalid_value"), False),
        (asked(answer=answer(outcome=Outcome.GONE), is_whole=False), False),
    ],
)
async def test_what_failed_here_is_an_error(
    collector: Collector, ended: Asked, is_error: bool
) -> None:
    (span,) = await told(collector, ended)
    assert (span.status.code == Status.STATUS_CODE_ERROR) is is_error
    assert attributes_of(span).get("error.type") == ended.reply.error


async def test_what_machines_ask_all_the_time_is_no_span(collector: Collector) -> None:
    spans = await told(collector, asked(route="/metrics"), asked(route="/health/ready"))
    assert spans == []


async def test_neither_keys_nor_ids_of_clients_are_told(collector: Collector) -> None:
    await told(collector, asked(account="phone-key", request_id="from-client", answer=answer()))
    assert b"phone-key" not in collector.bodies[0]
    assert b"from-client" not in collector.bodies[0]


@pytest.mark.parametrize("name", [None, "mine"])
async def test_the_service_is_named_and_the_environment_may_name_it_otherwise(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    if name is not None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    await told(collector, asked())
    assert collector.resource["service.name"] == (name or "jarvis-llm-proxy")
    assert collector.resource["service.version"] == "9.8.7"


RIGHT_PARENTS = [SAMPLED, SAMPLED[:-1] + "0", f"01{SAMPLED[2:]}", f"cc{SAMPLED[2:]}-what.comes"]
WRONG_PARENTS = [
    f"00-{'0' * 32}-{PARENT_ID}-01",
    f"00-{TRACE_ID}-{'0' * 16}-01",
    f"ff{SAMPLED[2:]}",
    SAMPLED.upper(),
    f"{SAMPLED}-more",
    f"cc{SAMPLED[2:]}x",
    f"cc{SAMPLED[2:]}-{'x' * 512}",
    f"{SAMPLED}\n",
    SAMPLED[:-1],
    "",
]
RIGHT_STATES = ["a=1", STATE, "a=1,,b=2 ,\tc/*_-=3", "0@x=~", f"a={'x' * 256}"]
WRONG_STATES = [
    *("a", "a=", "=1", "A=1", "a=1,a=2", "a=b=c", "a=\xe9", "a=1\nb", "a@1=b", ",", " "),
    ",".join(f"k{number}=1" for number in range(33)),
    f"a={'x' * 257}",
    f"a={'x' * 250},b={'x' * 250},c={'x' * 10}",
]


@pytest.mark.parametrize("parent", RIGHT_PARENTS)
@pytest.mark.parametrize("state", RIGHT_STATES)
def test_a_trace_goes_on_as_it_came(parent: str, state: str) -> None:
    given = ((b"traceparent", parent.encode()), (b"tracestate", state.encode()))
    assert trace_headers_of(((b"host", b"x"), *given)) == given


@pytest.mark.parametrize("parent", WRONG_PARENTS)
def test_a_trace_that_is_none_does_not_go_on(parent: str) -> None:
    given = ((b"traceparent", parent.encode()), (b"tracestate", b"a=1"))
    assert trace_headers_of(given) == ()


@pytest.mark.parametrize("state", WRONG_STATES)
def test_a_state_that_is_none_is_left_out(state: str) -> None:
    parent = (b"traceparent", SAMPLED.encode())
    assert trace_headers_of((parent, (b"tracestate", state.encode("latin-1")))) == (parent,)


def test_two_parents_are_none_and_two_states_are_one_list() -> None:
    parent, one, two = (b"traceparent", SAMPLED.encode()), b"a=1", b"b=2"
    assert trace_headers_of((parent, parent)) == ()
    states = ((b"tracestate", one), (b"tracestate", two))
    assert trace_headers_of((*states, parent)) == (parent, (b"tracestate", b"a=1,b=2"))
    assert trace_headers_of(states) == ()


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
