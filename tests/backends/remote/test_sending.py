"""The way of one request over several upstreams: whom it reaches, and what comes back."""

import asyncio
import logging

import pytest

from backends.remote.endpoint import Endpoint
from backends.remote.sending import Sender
from backends.remote.wire import EndpointCheck
from backends.upstream import BreakerState, Place, StreamedReply
from core.errors import UpstreamFailed, UpstreamFault
from core.upstreams import BreakerRules, UpstreamTimeouts
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

HERE, THERE = Place("u", "m"), Place("v", "n")
QUICK = BreakerRules(num_failures=1, open_s=10.0)


async def fail(sender: Sender, *places: Place) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await sender.send(call(), places)
    return caught.value


def test_upstreams_are_asked_by_their_own_name_of_the_model() -> None:
    async def work() -> None:
        first, (wire,) = endpoints(upstream("u"), [whole()])
        second, (other,) = endpoints(upstream("v"), [whole()])
        sender = Sender([*first, *second])
        await sender.send(call(), [HERE])
        await sender.send(call(), [THERE])
        assert (wire.models, other.models) == (["m"], ["n"])

    run(work())


def test_a_higher_priority_number_is_asked_when_all_attempts_at_lower_ones_failed() -> None:
    async def work() -> None:
        first, (wire,) = endpoints(upstream("u", priority=5, max_retries=1), [status(500)])
        second, (other,) = endpoints(upstream("v", priority=7), [whole(b"1")])
        places = [THERE, HERE]
        assert await Sender([*first, *second]).send(call(), places) == whole(b"1")
        assert (len(wire.times), len(other.times)) == (2, 1)
        assert other.times[0] == wire.times[1]

    run(work())


def test_upstreams_of_one_priority_have_attempts_of_their_own() -> None:
    async def work() -> None:
        first, (wire,) = endpoints(upstream("u", max_retries=0), [failed()])
        second, (other,) = endpoints(upstream("v", max_retries=0), [failed()])
        await fail(Sender([*first, *second]), HERE, THERE)
        assert (wire.times, other.times) == ([0.0], [0.0])

    run(work())


def test_a_long_pause_sends_the_request_on_at_once() -> None:
    async def work() -> None:
        first, _ = endpoints(upstream("u"), [status(429, retry_after_s=60)])
        second, (other,) = endpoints(upstream("v", priority=1), [whole()])
        sender = Sender([*first, *second])
        await sender.send(call(), [HERE, THERE])
        await sender.send(call(), [HERE, THERE])
        assert other.times == [0.0, 0.0]

    run(work())


def test_a_longer_whole_time_of_a_later_upstream_is_used() -> None:
    async def work() -> None:
        slow = Answer(whole(b"1"), after_s=30)
        first, _ = endpoints(upstream("u", timeouts=UpstreamTimeouts(total_s=20)), [slow])
        second, _ = endpoints(
            upstream("v", priority=1, timeouts=UpstreamTimeouts(total_s=60)), [slow]
        )
        sender = Sender([*first, *second])
        assert await sender.send(call(), [HERE, THERE]) == whole(b"1")
        assert now() == 50.0

    run(work())


def test_the_whole_time_holds_for_the_whole_stream() -> None:
    async def work() -> None:
        owner = upstream(timeouts=UpstreamTimeouts(total_s=20))
        reply = streamed(b"a", 15.0, b"b", 15.0, b"c")
        some, _ = endpoints(owner, [status(500), Answer(reply, after_s=1)])
        answer = await Sender(some).send(call(is_stream=True), [HERE])
        assert isinstance(answer, StreamedReply)
        assert [await anext(answer.events) for _ in range(2)] == [b"a", b"b"]
        with pytest.raises(UpstreamFailed) as caught:
            await anext(answer.events)
        assert caught.value.failure.fault is UpstreamFault.TIMEOUT
        assert now() == 20.0

    run(work())


@pytest.mark.parametrize(
    ("errors", "most"),
    [
        ([status(503), failed()], 0),
        ([failed(), status(429)], 1),
        ([status(500), status(429)], 1),
        ([failed(UpstreamFault.TIMEOUT), failed()], 1),
    ],
)
def test_the_failure_that_says_most_is_raised(errors: list[UpstreamFailed], most: int) -> None:
    async def work() -> None:
        first, _ = endpoints(upstream("u", max_retries=0), [errors[0]])
        second, _ = endpoints(upstream("v", max_retries=0, priority=1), [errors[1]])
        assert await fail(Sender([*first, *second]), HERE, THERE) is errors[most]

    run(work())


@pytest.mark.parametrize("priority", [-1, 0, 1])
def test_where_nobody_may_be_asked_it_is_said_when_somebody_may(priority: int) -> None:
    async def work() -> None:
        rules = BreakerRules(num_failures=1, open_s=30.0)
        first, (wire,) = endpoints(upstream("u", breaker=rules, max_retries=0), [failed()])
        second, (other,) = endpoints(
            upstream("v", breaker=QUICK, max_retries=0, priority=priority), [failed()]
        )
        sender = Sender([*first, *second])
        assert (await fail(sender, HERE, THERE)).failure.fault is UpstreamFault.CONNECTION
        await asyncio.sleep(2)
        failure = (await fail(sender, HERE, THERE)).failure
        assert failure.fault is UpstreamFault.UNAVAILABLE
        assert (failure.upstream, failure.retry_after_s) == ("v", 8.0)
        assert (len(wire.times), len(other.times)) == (1, 1)

    run(work())


def test_a_failure_says_more_than_an_open_breaker() -> None:
    async def work() -> None:
        first, _ = endpoints(upstream("u", breaker=QUICK, max_retries=0), [failed()])
        error = failed(UpstreamFault.BROKEN)
        second, _ = endpoints(upstream("v", max_retries=0, priority=1), [error])
        sender = Sender([*first, *second])
        await fail(sender, HERE)
        assert await fail(sender, HERE, THERE) is error

    run(work())


def test_the_same_prompt_goes_to_the_same_url_and_elsewhere_while_that_is_out() -> None:
    async def work() -> None:
        owner = upstream(num_urls=3, breaker=QUICK)
        some, wires = endpoints(owner, *[[whole()]] * 3)
        sender = Sender(some)
        for _ in range(9):
            await sender.send(call(b"hot"), [HERE])
        (home,) = (wire for wire in wires if wire.times)
        home.answers = [Answer(failed())]
        for _ in range(9):
            await sender.send(call(b"hot"), [HERE])
        assert len(home.times) == 10
        (second,) = (wire for wire in wires if wire.times and wire is not home)
        assert len(second.times) == 9
        home.answers = [Answer(whole())]
        await asyncio.sleep(10)
        for _ in range(3):
            await sender.send(call(b"hot"), [HERE])
        assert len(home.times) == 13

    run(work())


def test_requests_are_shared_by_weight_among_upstreams() -> None:
    async def work() -> None:
        first, wires = endpoints(upstream("u", num_urls=2, weight=1.0), [whole()], [whole()])
        second, (other,) = endpoints(upstream("v", weight=3.0), [whole()])
        sender = Sender([*first, *second])
        for index in range(800):
            await sender.send(call(b"%d" % index if index % 2 else b""), [HERE, THERE])
        assert abs(len(other.times) / 800 - 0.75) < 0.05
        assert all(abs(len(wire.times) / 800 - 0.125) < 0.05 for wire in wires)

    run(work())


async def with_one_that_failed(
    check: EndpointCheck | None,
) -> tuple[Sender, Endpoint, ScriptedWire]:
    """Its time is over, so that a probe may go to it; the other one answers."""
    owner = upstream(num_urls=2, breaker=QUICK)
    some, wires = endpoints(owner, [failed(), whole()], [whole()])
    with pytest.raises(UpstreamFailed):
        await some[0].ask(call(), "m")
    await asyncio.sleep(10)
    if check:
        some[0].see(check)
    return Sender(some), some[0], wires[0]


def test_one_that_was_seen_again_is_proved_by_the_next_request() -> None:
    async def work() -> None:
        sender, endpoint, wire = await with_one_that_failed(EndpointCheck(True))
        await sender.send(call(b"any prompt"), [HERE])
        assert len(wire.times) == 2
        assert endpoint.state.breaker is BreakerState.CLOSED

    run(work())


def test_one_that_was_seen_to_be_silent_is_not_tried_on_a_client() -> None:
    async def work() -> None:
        sender, endpoint, wire = await with_one_that_failed(EndpointCheck(False))
        for index in range(50):
            await sender.send(call(b"%d" % index), [HERE])
        assert len(wire.times) == 1
        assert endpoint.state.breaker is BreakerState.HALF_OPEN

    run(work())


def test_one_that_was_not_looked_at_is_proved_by_a_request_of_its_own() -> None:
    async def work() -> None:
        sender, endpoint, wire = await with_one_that_failed(None)
        wire.answers = [Answer(failed()), Answer(whole())]
        for index in range(50):
            await sender.send(call(b"%d" % index), [HERE])
        assert len(wire.times) == 2, "its probe failed, and that client was answered elsewhere"
        assert endpoint.state.breaker is BreakerState.OPEN

    run(work())


def test_one_probe_at_a_time_whoever_else_comes() -> None:
    async def work() -> None:
        sender, _, wire = await with_one_that_failed(EndpointCheck(True))
        wire.answers = [Answer(whole(), after_s=5)]
        await asyncio.gather(*(sender.send(call(), [HERE]) for _ in range(20)))
        assert len(wire.times) == 2

    run(work())


def test_who_gives_up_ends_what_is_under_way_in_any_phase() -> None:
    async def work(after_s: float) -> None:
        slow = Answer(status(500), after_s=10)
        some, wires = endpoints(
            upstream(num_urls=2, max_retries=3, hedge_after_s=3.0), [slow], [slow]
        )
        sending = asyncio.ensure_future(Sender(some).send(call(), [HERE]))
        await asyncio.sleep(after_s)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert all(each.num_outstanding == 0 for each in some)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        asked = [len(wire.times) for wire in wires]
        await asyncio.sleep(100)
        assert [len(wire.times) for wire in wires] == asked

    for after_s in (0.0, 1.0, 3.0, 5.0, 10.0, 13.0, 13.1, 14.0):
        run(work(after_s))


def test_a_stream_is_given_on_with_its_events() -> None:
    async def work() -> None:
        events = ScriptedEvents(b"a", b"b")
        some, _ = endpoints(upstream(), [StreamedReply("u", events)])
        reply = await Sender(some).send(call(is_stream=True), [HERE])
        assert isinstance(reply, StreamedReply)
        assert [piece async for piece in reply.events] == [b"a", b"b"]
        await reply.events.aclose()
        assert (reply.upstream, events.num_closes) == ("u", 1)

    run(work())


def test_after_the_beginning_nothing_is_tried_again() -> None:
    async def work() -> None:
        broken = failed(UpstreamFault.BROKEN)
        some, wires = endpoints(upstream(num_urls=2), *[[streamed(b"a", broken)]] * 2)
        reply = await Sender(some).send(call(is_stream=True), [HERE])
        assert isinstance(reply, StreamedReply)
        assert await anext(reply.events) == b"a"
        with pytest.raises(UpstreamFailed) as caught:
            await anext(reply.events)
        assert caught.value is broken
        assert sum(len(wire.times) for wire in wires) == 1

    run(work())


def test_each_failed_attempt_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        some, _ = endpoints(upstream(), [status(500), failed(), whole(b"secret answer")])
        await Sender(some).send(call(b"secret prompt"), [HERE])

    run(work())
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "id=r upstream=u url=http://u-0/v1 attempt=1 fault=STATUS status=500",
        ),
        (
            logging.WARNING,
            "id=r upstream=u url=http://u-0/v1 attempt=2 fault=CONNECTION status=None",
        ),
    ]
    assert "secret" not in caplog.text


def test_a_clients_own_limit_is_not_waited_for_but_others_are_asked() -> None:
    async def work() -> None:
        limited = upstream("u", passes_client_key=True)
        first, (wire,) = endpoints(limited, [status(429, retry_after_s=2)])
        second, (other,) = endpoints(upstream("v", priority=1), [whole()])
        sender = Sender([*first, *second])
        for places in ([HERE, THERE], [HERE]):
            sending = sender.send(call(client_key="k"), places)
            if THERE in places:
                assert await sending == whole()
            else:
                with pytest.raises(UpstreamFailed) as caught:
                    await sending
                assert caught.value.failure.retry_after_s == 2
        assert (wire.times, other.times) == ([0.0, 0.0], [0.0])

    run(work())
