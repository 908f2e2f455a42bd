"""What is asked again, where and after which pause, by a clock that jumps."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.remote.endpoint import Endpoint
from backends.remote.retrying import Backoff
from backends.remote.sending import Sender
from backends.upstream import Place, UpstreamReply
from core.errors import UpstreamFailed, UpstreamFault
from core.upstreams import UpstreamTimeouts
from tests.backends.remote.scripted_wire import (
    Answer,
    call,
    endpoints,
    failed,
    status,
    upstream,
    whole,
)
from tests.backends.remote.virtual_time import now, run

CONNECTION, TIMEOUT, BROKEN = (
    UpstreamFault.CONNECTION,
    UpstreamFault.TIMEOUT,
    UpstreamFault.BROKEN,
)
HERE = (Place("u", "m"),)
PASSING = [failed(CONNECTION), failed(BROKEN), status(500), status(503), status(429), status(408)]


async def send(some: list[Endpoint]) -> UpstreamReply:
    return await Sender(some).send(call(), HERE)


async def fail(some: list[Endpoint]) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await send(some)
    return caught.value


@pytest.mark.parametrize("error", PASSING)
def test_what_may_pass_is_asked_again_at_the_same_server(error: UpstreamFailed) -> None:
    async def work() -> None:
        some, (wire,) = endpoints(upstream(max_retries=2), [error, error, whole(b"1")])
        assert await send(some) == whole(b"1")
        first, second, third = wire.times
        assert first == 0.0
        assert 0.0 < second - first <= 0.25
        assert 0.0 < third - second <= 0.5

    run(work())


@pytest.mark.parametrize("error", PASSING)
def test_no_server_is_asked_more_often_than_its_settings_say(error: UpstreamFailed) -> None:
    async def work() -> None:
        for max_retries in (0, 1, 3):
            some, (wire,) = endpoints(upstream(max_retries=max_retries), [error])
            assert await fail(some) is error
            assert len(wire.times) == max_retries + 1

    run(work())


@pytest.mark.parametrize("error", PASSING)
def test_another_url_is_asked_at_once(error: UpstreamFailed) -> None:
    async def work() -> None:
        owner = upstream(num_urls=3, max_retries=2)
        some, wires = endpoints(owner, [error], [error], [error])
        assert await fail(some) is error
        assert [wire.times for wire in wires] == [[0.0]] * 3

    run(work())


def test_the_urls_of_an_upstream_share_its_attempts() -> None:
    async def work() -> None:
        some, wires = endpoints(upstream(num_urls=3, max_retries=4), *[[status(500)]] * 3)
        await fail(some)
        assert sorted(len(wire.times) for wire in wires) == [1, 2, 2]

    run(work())


@pytest.mark.parametrize("error", [failed(TIMEOUT), status(302), status(307)])
def test_what_would_come_again_is_asked_elsewhere_alone(error: UpstreamFailed) -> None:
    async def work() -> None:
        some, wires = endpoints(upstream(num_urls=2, max_retries=9), [error], [error])
        assert await fail(some) is error
        assert [wire.times for wire in wires] == [[0.0]] * 2

    run(work())


def test_a_client_that_is_blamed_is_told_at_once() -> None:
    async def work() -> None:
        some, (wire,) = endpoints(upstream(), [whole(b"no", 400)])
        assert await send(some) == whole(b"no", 400)
        assert len(wire.times) == 1

    run(work())


@pytest.mark.parametrize("code", [429, 408, 503])
def test_a_pause_that_a_server_asks_for_is_kept(code: int) -> None:
    async def work() -> None:
        some, (wire,) = endpoints(upstream(), [status(code, retry_after_s=7), whole()])
        await send(some)
        assert 7.0 < wire.times[1] <= 7.25

    run(work())


def test_a_pause_that_is_too_long_is_not_waited_for() -> None:
    async def work() -> None:
        busy = status(429, retry_after_s=10.5)
        some, (wire,) = endpoints(upstream(), [busy, whole()])
        assert await fail(some) is busy
        assert (wire.times, now()) == ([0.0], 0.0)

    run(work())


def test_the_server_with_the_shortest_pause_is_waited_for() -> None:
    async def work() -> None:
        long, short = (status(429, retry_after_s=each) for each in (9.0, 3.0))
        some, wires = endpoints(upstream(num_urls=2), [long, whole()], [short, whole()])
        await send(some)
        assert len(wires[0].times) == 1
        assert 3.0 <= wires[1].times[1] <= 3.25

    run(work())


def test_who_comes_while_a_server_wants_a_pause_waits_for_its_end() -> None:
    async def work() -> None:
        busy = status(429, retry_after_s=5)
        some, (wire,) = endpoints(upstream(max_retries=0), [busy, whole()])
        assert await fail(some) is busy
        assert (await fail(some)).failure.retry_after_s == 5.0, "without retries nobody waits"
        some, (wire,) = endpoints(upstream(max_retries=1), [busy, whole()])
        with pytest.raises(UpstreamFailed):
            await some[0].ask(call(), "m")
        began = now()
        await send(some)
        assert 5.0 <= wire.times[1] - began <= 5.25

    run(work())


def test_no_pause_goes_beyond_the_time_of_the_whole_request() -> None:
    async def work() -> None:
        owner = upstream(timeouts=UpstreamTimeouts(total_s=4))
        some, (wire,) = endpoints(owner, [status(429, retry_after_s=5), whole()])
        assert (await fail(some)).failure.status == 429
        assert (wire.times, now()) == ([0.0], 0.0)

    run(work())


def test_the_whole_time_holds_for_all_attempts() -> None:
    async def work() -> None:
        owner = upstream(max_retries=9, timeouts=UpstreamTimeouts(total_s=10))
        some, (wire,) = endpoints(owner, [Answer(status(500), after_s=6)])
        assert (await fail(some)).failure.status == 500
        assert len(wire.times) == 2
        assert now() == 10.0

    run(work())


def test_no_limit_of_time_is_possible() -> None:
    async def work() -> None:
        owner = upstream(timeouts=UpstreamTimeouts(total_s=None))
        some, _ = endpoints(owner, [Answer(whole(), after_s=1e6)])
        assert await send(some) == whole()

    run(work())


def test_pauses_grow_to_a_bound() -> None:
    async def work() -> list[float]:
        some, (wire,) = endpoints(
            upstream(max_retries=12, timeouts=UpstreamTimeouts(total_s=None)), [status(429)]
        )
        with pytest.raises(UpstreamFailed):
            await Sender(some, Backoff(1.0, 4.0)).send(call(), HERE)
        return [after - before for before, after in zip(wire.times, wire.times[1:], strict=False)]

    pauses = [run(work()) for _ in range(50)]
    bounds = [max(each[index] for each in pauses) for index in range(12)]
    assert bounds[0] <= 1.0 < bounds[1] <= 2.0 < bounds[2] <= 4.0
    assert max(bounds) <= 4.0
    assert min(min(each) for each in pauses) > 0.12, "never none at all"
    assert len({each[3] for each in pauses}) == 50, "drawn, so that no two clients keep step"


def test_a_breaker_that_opens_ends_the_attempts() -> None:
    async def work() -> None:
        some, (wire,) = endpoints(upstream(max_retries=20), [status(500)])
        assert (await fail(some)).failure.status == 500
        assert len(wire.times) == 5
        refused = (await fail(some)).failure
        assert refused.fault is UpstreamFault.UNAVAILABLE
        assert refused.retry_after_s == pytest.approx(10.0 - (now() - wire.times[-1]))

    run(work())


ERRORS = st.sampled_from(
    [*PASSING, failed(TIMEOUT), status(302), status(429, 2.0), status(429, 99)]
)
ANSWERS = st.lists(
    st.builds(Answer, ERRORS | st.just(whole()), st.sampled_from([0.0, 1.0, 30.0])),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(st.lists(ANSWERS, min_size=1, max_size=4), st.integers(0, 4))
def test_whatever_happens_a_request_ends_in_time_and_leaves_nothing(
    scripts: list[list[Answer]], max_retries: int
) -> None:
    async def work() -> None:
        owner = upstream(
            num_urls=len(scripts), max_retries=max_retries, timeouts=UpstreamTimeouts(total_s=50)
        )
        some, wires = endpoints(owner, *[list(script) for script in scripts])
        (outcome,) = await asyncio.gather(send(some), return_exceptions=True)
        if isinstance(outcome, UpstreamFailed):
            assert outcome.failure.fault is not UpstreamFault.UNAVAILABLE
        else:
            assert outcome == whole()
        assert now() <= 50.0 + 1e-6
        assert 1 <= sum(len(wire.times) for wire in wires) <= max_retries + 1
        assert all(each.num_outstanding == 0 for each in some)

    run(work())
