"""One URL: what is counted as outstanding, how it did, and when it is left alone."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from backends.remote.balancing import Standing
from backends.remote.endpoint import Endpoint
from backends.remote.wire import EndpointCheck
from backends.upstream import BreakerState, StreamedReply, UpstreamReply
from core.errors import UpstreamFailed, UpstreamFault
from core.upstreams import BreakerRules, Upstream, UpstreamKind, UpstreamTimeouts
from tests.backends.remote.scripted_wire import (
    Answer,
    ScriptedEvents,
    ScriptedWire,
    call,
    endpoints,
    failed,
    status,
    streamed,
    upstream,
    whole,
)
from tests.backends.remote.virtual_time import now, run

QUICK = BreakerRules(num_failures=1, open_s=10.0)
SEEN, SILENT = EndpointCheck(True, num_running=3.0), EndpointCheck(False, "refused")


def one(
    script: Sequence[Answer | UpstreamReply | Exception], owner: Upstream | None = None
) -> tuple[Endpoint, ScriptedWire]:
    (endpoint,), (wire,) = endpoints(owner or upstream(breaker=QUICK), script)
    return endpoint, wire


def breaker_of(endpoint: Endpoint) -> BreakerState:
    return endpoint.state.breaker


def standing_of(endpoint: Endpoint) -> Standing:
    return endpoint.candidate.standing


async def fail(endpoint: Endpoint) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await endpoint.ask(call(), "m")
    return caught.value


async def events_of(endpoint: Endpoint, until: float | None = None) -> StreamedReply:
    reply = await endpoint.ask(call(is_stream=True), "m", until)
    assert isinstance(reply, StreamedReply)
    return reply


def test_a_request_counts_until_its_answer_is_whole() -> None:
    async def work() -> None:
        endpoint, _ = one([Answer(whole(), after_s=5)])
        asking = asyncio.create_task(endpoint.ask(call(), "m"))
        await asyncio.sleep(1)
        assert endpoint.state.num_outstanding == 1
        assert await asking == whole()
        assert endpoint.state.num_outstanding == 0

    run(work())


def test_a_stream_counts_until_it_has_ended() -> None:
    async def work() -> None:
        endpoint, _ = one([streamed(b"a", b"b")])
        reply = await events_of(endpoint)
        assert [piece async for piece in reply.events if endpoint.num_outstanding == 1] == [
            b"a",
            b"b",
        ]
        assert endpoint.num_outstanding == 0
        await reply.events.aclose()
        await reply.events.aclose()
        assert endpoint.num_outstanding == 0

    run(work())


def test_a_stream_that_is_closed_unread_counts_no_longer() -> None:
    async def work() -> None:
        events = ScriptedEvents(b"a")
        endpoint, _ = one([StreamedReply("u", events)])
        reply = await events_of(endpoint)
        await reply.events.aclose()
        assert (endpoint.num_outstanding, events.num_closes) == (0, 1)
        assert breaker_of(endpoint) is BreakerState.CLOSED

    run(work())


def test_a_stream_that_breaks_is_a_failure_though_it_began_well() -> None:
    async def work() -> None:
        endpoint, _ = one([streamed(b"a", failed(UpstreamFault.BROKEN))])
        reply = await events_of(endpoint)
        assert await anext(reply.events) == b"a"
        assert breaker_of(endpoint) is BreakerState.CLOSED
        with pytest.raises(UpstreamFailed):
            await anext(reply.events)
        assert breaker_of(endpoint) is BreakerState.OPEN
        assert endpoint.num_outstanding == 0

    run(work())


@pytest.mark.parametrize(
    "error",
    [
        failed(UpstreamFault.CONNECTION),
        failed(UpstreamFault.TIMEOUT),
        failed(UpstreamFault.BROKEN),
        status(500),
        status(503),
        status(302),
    ],
)
def test_failures_open_the_breaker(error: UpstreamFailed) -> None:
    async def work() -> None:
        endpoint, wire = one([error])
        assert await fail(endpoint) is error
        assert breaker_of(endpoint) is BreakerState.OPEN
        assert not endpoint.is_free
        refused = (await fail(endpoint)).failure
        assert (refused.fault, refused.retry_after_s) == (UpstreamFault.UNAVAILABLE, 10.0)
        assert len(wire.times) == 1
        assert endpoint.num_outstanding == 0

    run(work())


@pytest.mark.parametrize(
    ("kind", "code"),
    [(UpstreamKind.VLLM, 408), (UpstreamKind.VLLM, 429), (UpstreamKind.LLAMA_CPP, 500)],
)
def test_a_server_that_has_no_time_or_blames_the_request_lives(
    kind: UpstreamKind, code: int
) -> None:
    async def work() -> None:
        owner = replace(upstream(breaker=BreakerRules(num_failures=2)), kind=kind)
        endpoint, _ = one([status(503), status(code), status(503)], owner)
        for _ in range(3):
            await fail(endpoint)
        assert breaker_of(endpoint) is BreakerState.CLOSED
        assert endpoint.is_free

    run(work())


@pytest.mark.parametrize("code", [400, 401, 404, 422])
def test_an_answer_that_blames_the_client_is_a_success(code: int) -> None:
    async def work() -> None:
        owner = upstream(breaker=BreakerRules(num_failures=2))
        endpoint, _ = one([failed(), whole(status=code), failed()], owner)
        await fail(endpoint)
        assert await endpoint.ask(call(), "m") == whole(status=code)
        await fail(endpoint)
        assert breaker_of(endpoint) is BreakerState.CLOSED
        assert endpoint.latency_s is None

    run(work())


@pytest.mark.parametrize("code", [408, 429, 503])
def test_nothing_is_sent_before_the_time_that_a_server_named(code: int) -> None:
    async def work() -> None:
        owner = upstream(breaker=BreakerRules(num_failures=2))
        endpoint, wire = one([status(code, retry_after_s=30), whole()], owner)
        await fail(endpoint)
        await asyncio.sleep(29)
        assert not endpoint.is_free
        assert endpoint.ready_in_s == 1.0
        assert (await fail(endpoint)).failure.retry_after_s == 1.0
        await asyncio.sleep(1)
        assert endpoint.is_free
        await endpoint.ask(call(), "m")
        assert wire.times == [0.0, 30.0]

    run(work())


@pytest.mark.parametrize(
    ("passes_client_key", "client_key", "code", "rest_s"),
    [(True, "k", 429, 0), (True, "k", 503, 30), (True, None, 429, 30), (False, "k", 429, 30)],
)
def test_the_limit_of_one_clients_key_holds_for_no_other_client(
    passes_client_key: bool, client_key: str | None, code: int, rest_s: float
) -> None:
    async def work() -> None:
        owner = upstream(passes_client_key=passes_client_key)
        endpoint, _ = one([status(code, retry_after_s=30)], owner)
        with pytest.raises(UpstreamFailed) as caught:
            await endpoint.ask(call(client_key=client_key), "m")
        assert caught.value.failure.retry_after_s == 30
        assert endpoint.rest_s == rest_s

    run(work())


def test_a_request_that_was_not_sent_tells_nothing_of_the_server() -> None:
    async def work() -> None:
        endpoint, _ = one([failed(UpstreamFault.UNAVAILABLE)])
        await fail(endpoint)
        assert breaker_of(endpoint) is BreakerState.CLOSED

    run(work())


def test_a_cancelled_probe_frees_its_place_and_decides_nothing() -> None:
    async def work() -> None:
        endpoint, wire = one([failed(), Answer(whole(), after_s=50), whole()])
        await fail(endpoint)
        await asyncio.sleep(10)
        probe = asyncio.create_task(endpoint.ask(call(), "m"))
        await asyncio.sleep(1)
        assert not endpoint.is_free
        assert endpoint.ready_in_s is None
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert breaker_of(endpoint) is BreakerState.HALF_OPEN
        assert (endpoint.num_outstanding, wire.num_cancelled) == (0, 1)
        await endpoint.ask(call(), "m")
        assert breaker_of(endpoint) is BreakerState.CLOSED

    run(work())


def test_a_probe_that_streams_closes_the_breaker_as_it_begins() -> None:
    async def work() -> None:
        endpoint, _ = one([failed(), streamed(b"a")])
        await fail(endpoint)
        await asyncio.sleep(10)
        reply = await events_of(endpoint)
        assert breaker_of(endpoint) is BreakerState.CLOSED
        await reply.events.aclose()

    run(work())


def test_latency_is_a_moving_mean_of_the_time_to_the_first_piece() -> None:
    async def work() -> None:
        answers = [Answer(whole(), after_s=2), Answer(streamed(b"a", 9.0, b"b"), after_s=7)]
        endpoint, _ = one([*answers, Answer(failed(), after_s=99)])
        await endpoint.ask(call(), "m")
        assert endpoint.latency_s == 2.0
        reply = await events_of(endpoint)
        async for _ in reply.events:
            pass
        assert endpoint.latency_s == pytest.approx(3.0)
        await fail(endpoint)
        assert endpoint.latency_s == pytest.approx(3.0)

    run(work())


def test_the_last_look_is_shown_until_a_request_proves_it_wrong() -> None:
    async def work() -> None:
        endpoint, _ = one([whole()])
        assert endpoint.state.is_reachable is None
        endpoint.see(SEEN)
        assert endpoint.state.is_reachable
        assert endpoint.state.num_running == 3.0
        endpoint.see(SILENT)
        assert (endpoint.state.is_reachable, endpoint.state.error) == (False, "refused")
        assert standing_of(endpoint) is Standing.SILENT
        await endpoint.ask(call(), "m")
        assert (endpoint.state.is_reachable, endpoint.state.error) == (True, None)
        assert standing_of(endpoint) is Standing.WELL

    run(work())


def test_one_that_failed_is_proved_first_once_a_look_has_found_it_again() -> None:
    async def work() -> None:
        endpoint, _ = one([failed(), whole()])
        endpoint.see(SEEN)
        await asyncio.sleep(1)
        await fail(endpoint)
        await asyncio.sleep(10)
        assert standing_of(endpoint) is Standing.WELL
        endpoint.see(SILENT)
        assert standing_of(endpoint) is Standing.SILENT
        endpoint.see(SEEN)
        assert standing_of(endpoint) is Standing.RETURNING
        await endpoint.ask(call(), "m")
        assert standing_of(endpoint) is Standing.WELL

    run(work())


def test_the_weight_is_that_of_all_urls() -> None:
    async def work() -> None:
        some, _ = endpoints(upstream(num_urls=4, weight=2.0), *[[whole()]] * 4)
        assert [each.candidate.weight for each in some] == [0.5] * 4
        assert len({each.candidate.key for each in some}) == 4

    run(work())


def test_one_that_has_the_whole_time_and_does_not_begin_has_failed() -> None:
    async def work() -> None:
        owner = upstream(breaker=QUICK, timeouts=UpstreamTimeouts(total_s=20))
        endpoint, wire = one([Answer(whole(), after_s=99)], owner)
        with pytest.raises(UpstreamFailed) as caught:
            await endpoint.ask(call(), "m", 20.0)
        assert caught.value.failure.fault is UpstreamFault.TIMEOUT
        assert now() == 20.0
        assert breaker_of(endpoint) is BreakerState.OPEN
        assert (endpoint.num_outstanding, wire.num_cancelled) == (0, 1)

    run(work())


def test_one_that_was_asked_late_is_not_to_blame() -> None:
    async def work() -> None:
        owner = upstream(breaker=QUICK, timeouts=UpstreamTimeouts(total_s=20))
        endpoint, _ = one([Answer(whole(), after_s=99)], owner)
        await asyncio.sleep(15)
        with pytest.raises(UpstreamFailed):
            await endpoint.ask(call(), "m", 20.0)
        assert breaker_of(endpoint) is BreakerState.CLOSED

    run(work())


def test_a_stream_that_is_not_over_in_time_fails_and_is_closed() -> None:
    async def work() -> None:
        events = ScriptedEvents(b"a", 99.0, b"b")
        endpoint, _ = one([StreamedReply("u", events)])
        reply = await events_of(endpoint, 20.0)
        assert await anext(reply.events) == b"a"
        with pytest.raises(UpstreamFailed) as caught:
            await anext(reply.events)
        assert caught.value.failure.fault is UpstreamFault.TIMEOUT
        assert (now(), events.num_closes, endpoint.num_outstanding) == (20.0, 1, 0)
        assert breaker_of(endpoint) is BreakerState.CLOSED

    run(work())


def test_a_reader_that_comes_too_late_gets_nothing_more() -> None:
    async def work() -> None:
        endpoint, _ = one([streamed(b"a", b"b")])
        reply = await events_of(endpoint, 20.0)
        assert await anext(reply.events) == b"a"
        await asyncio.sleep(20)
        with pytest.raises(UpstreamFailed):
            await anext(reply.events)

    run(work())


def test_a_cancelled_reader_is_cancelled_and_the_server_not_blamed() -> None:
    async def work() -> None:
        endpoint, _ = one([streamed(b"a", 99.0, b"b")])
        reply = await events_of(endpoint, 500.0)
        await anext(reply.events)
        reading = asyncio.ensure_future(anext(reply.events))
        await asyncio.sleep(1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await reply.events.aclose()
        assert endpoint.num_outstanding == 0
        assert breaker_of(endpoint) is BreakerState.CLOSED

    run(work())


def test_changes_of_the_breaker_are_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> list[BreakerState]:
        endpoint, _ = one([failed(), whole()])
        told: list[BreakerState] = []
        endpoint.listen(told.append)
        await fail(endpoint)
        await asyncio.sleep(10)
        await endpoint.ask(call(), "m")
        return told

    with caplog.at_level(logging.INFO):
        assert run(work()) == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "upstream=u url=http://u-0/v1 breaker=open"),
        ("INFO", "upstream=u url=http://u-0/v1 breaker=half_open"),
        ("INFO", "upstream=u url=http://u-0/v1 breaker=closed"),
    ]
