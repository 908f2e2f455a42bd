"""Two attempts at one answer: one is given out, the other ends, and nothing is left."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.remote.endpoint import Endpoint
from backends.remote.hedging import Attempt, Hedging
from backends.remote.http_wire import HttpWire
from backends.remote.sending import Sender
from backends.upstream import Place, StreamedReply, UpstreamCall, UpstreamReply
from core.errors import UpstreamFailed
from core.upstreams import Upstream, UpstreamKind, UpstreamTimeouts
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
from tests.faulty_upstream import HANG, faulty_upstream
from tests.upstream_answers import chat_stream

HERE = (Place("u", "m"),)


def hedged(*answers: Answer, hedge_after_s: float | None = 2.0) -> tuple[Sender, list[Endpoint]]:
    owner = upstream(
        num_urls=len(answers),
        hedge_after_s=hedge_after_s,
        timeouts=UpstreamTimeouts(total_s=100.0),
        max_retries=len(answers) - 1,
    )
    some, _ = endpoints(owner, *[[answer] for answer in answers])
    return Sender(some), some


def wire_of(endpoint: Endpoint) -> ScriptedWire:
    assert isinstance(endpoint.wire, ScriptedWire)
    return endpoint.wire


def asked(some: list[Endpoint]) -> list[float]:
    return sorted(time for each in some for time in wire_of(each).times)


def test_it_is_off_unless_it_is_asked_for() -> None:
    async def work() -> None:
        slow = Answer(whole(), after_s=60)
        sender, some = hedged(slow, slow, hedge_after_s=None)
        await sender.send(call(), HERE)
        assert asked(some) == [0.0]

    run(work())


def test_a_second_is_asked_where_the_first_has_sent_nothing_for_so_long() -> None:
    async def work() -> None:
        slow = Answer(whole(), after_s=60)
        sender, some = hedged(slow, slow, slow)
        await sender.send(call(), HERE)
        assert asked(some) == [0.0, 2.0]
        assert now() == 60.0

    run(work())


def test_nobody_else_is_asked_where_the_first_begins_in_time() -> None:
    async def work() -> None:
        quick = Answer(streamed(b"a", 50.0, b"b"), after_s=1)
        sender, some = hedged(quick, quick)
        reply = await sender.send(call(is_stream=True), HERE)
        assert isinstance(reply, StreamedReply)
        assert [piece async for piece in reply.events] == [b"a", b"b"]
        assert asked(some) == [0.0]

    run(work())


def test_the_quicker_one_wins_and_the_other_is_cancelled() -> None:
    async def work() -> None:
        slow, quick = Answer(whole(b"slow"), after_s=60), Answer(whole(b"quick"), after_s=1)
        for answers in ((slow, quick), (quick, slow)):
            sender, some = hedged(*answers)
            began = now()
            assert await sender.send(call(), HERE) == whole(b"quick")
            assert now() - began <= 3.0
            await asyncio.sleep(0)
            cancelled = sum(wire_of(each).num_cancelled for each in some)
            assert cancelled == len(asked(some)) - 1
            assert [each.num_outstanding for each in some] == [0, 0]

    run(work())


def test_a_first_one_that_fails_early_is_no_race() -> None:
    async def work() -> None:
        sender, some = hedged(Answer(status(500), after_s=1), Answer(status(500), after_s=1))
        with pytest.raises(UpstreamFailed):
            await sender.send(call(), HERE)
        assert asked(some) == [0.0, 1.0]

    run(work())


def test_one_that_fails_in_a_race_leaves_it_to_the_other() -> None:
    async def work() -> None:
        fails, answers = Answer(failed(), after_s=3), Answer(whole(b"1"), after_s=20)
        for pair in ((fails, answers), (answers, fails)):
            sender, _ = hedged(*pair)
            assert await sender.send(call(), HERE) == whole(b"1")

    run(work())


def test_where_both_fail_the_request_goes_on_as_any() -> None:
    async def work() -> None:
        fails = Answer(failed(), after_s=5)
        sender, some = hedged(fails, fails, Answer(failed(), after_s=1))
        with pytest.raises(UpstreamFailed):
            await sender.send(call(), HERE)
        assert asked(some)[:3] == [0.0, 2.0, 7.0]
        assert [len(wire_of(each).times) for each in some if wire_of(each).times[0] == 7.0] == [1]

    run(work())


def test_one_of_a_later_priority_is_the_second_where_no_other_is_there() -> None:
    async def work() -> None:
        first, (slow,) = endpoints(upstream("u", hedge_after_s=2.0), [Answer(whole(), after_s=60)])
        later, (quick,) = endpoints(upstream("v", priority=1), [Answer(whole(b"1"), after_s=1)])
        places = (Place("u", "m"), Place("v", "n"))
        assert await Sender([*first, *later]).send(call(), places) == whole(b"1")
        assert (slow.models, quick.models, quick.times) == (["m"], ["n"], [2.0])

    run(work())


def test_who_is_asked_beside_is_no_retry() -> None:
    async def work() -> None:
        slow = Answer(whole(), after_s=60)
        owner = upstream(num_urls=3, hedge_after_s=2.0, max_retries=0)
        some, _ = endpoints(owner, [slow], [slow], [slow])
        await Sender(some).send(call(), HERE)
        assert asked(some) == [0.0, 2.0]

    run(work())


def test_nobody_is_asked_beside_where_nobody_else_is_free() -> None:
    async def work() -> None:
        some, (wire,) = endpoints(upstream(hedge_after_s=2.0), [Answer(whole(), after_s=60)])
        assert await Sender(some).send(call(), HERE) == whole()
        assert wire.times == [0.0]

    run(work())


SECONDS = st.integers(0, 4).map(float)


class Contender:
    """An attempt that takes so many seconds, also to end, and then fails or streams."""

    def __init__(self, after_s: float, ending_s: float, *, is_good: bool) -> None:
        self.events = ScriptedEvents(b"a")
        self._after_s = after_s
        self._ending_s = ending_s
        self._is_good = is_good
        self.is_begun = False

    async def __call__(self) -> UpstreamReply:
        try:
            await asyncio.sleep(self._after_s)
        finally:
            await asyncio.sleep(self._ending_s)
        if not self._is_good:
            raise failed()
        self.is_begun = True
        return StreamedReply("u", self.events)


CONTENDERS = st.builds(Contender, SECONDS, SECONDS, is_good=st.booleans())


@settings(deadline=None, max_examples=250)
@given(CONTENDERS, st.none() | CONTENDERS, SECONDS, st.none() | SECONDS)
def test_whatever_happens_one_answer_at_most_is_given_out_and_the_others_are_closed(
    first: Contender, second: Contender | None, after_s: float, cancelled_s: float | None
) -> None:
    async def work() -> None:
        hedging = Hedging()
        racing = asyncio.ensure_future(hedging.first_of(first, lambda: second, after_s))
        if cancelled_s is not None:
            asyncio.get_running_loop().call_later(cancelled_s, racing.cancel)
        (outcome,) = await asyncio.gather(racing, return_exceptions=True)
        given_out = outcome.events if isinstance(outcome, StreamedReply) else None
        assert given_out or isinstance(outcome, UpstreamFailed | asyncio.CancelledError)
        if isinstance(outcome, asyncio.CancelledError):
            assert hedging.num_running == 0
        await asyncio.sleep(100)
        assert hedging.num_running == 0
        for each in (first, second):
            if each and each.is_begun:
                assert each.events.num_closes == int(each.events is not given_out)
        if isinstance(outcome, UpstreamFailed):
            assert not any(each and each.is_begun for each in (first, second))

    run(work())


@pytest.mark.parametrize("num_steps", range(4))
def test_an_answer_that_comes_about_the_moment_of_the_cancellation_is_closed(
    num_steps: int,
) -> None:
    async def work() -> None:
        events = ScriptedEvents(b"a")
        begins = asyncio.Event()

        async def attempt() -> UpstreamReply:
            await begins.wait()
            return StreamedReply("u", events)

        racing = asyncio.ensure_future(Hedging().first_of(attempt, lambda: None, 99.0))
        await asyncio.sleep(1)
        begins.set()
        for _ in range(num_steps):
            await asyncio.sleep(0)
        was_over = not racing.cancel()
        (outcome,) = await asyncio.gather(racing, return_exceptions=True)
        assert isinstance(outcome, StreamedReply if was_over else asyncio.CancelledError)
        assert events.num_closes == int(not was_over)

    run(work())


def test_a_race_whose_attempts_are_ended_from_outside_ends() -> None:
    async def work() -> None:
        async def attempt() -> UpstreamReply:
            await asyncio.sleep(50)
            raise AssertionError

        asked: list[Attempt] = [attempt]
        racing = asyncio.ensure_future(
            Hedging().first_of(attempt, lambda: asked.pop() if asked else None, 1.0)
        )
        await asyncio.sleep(2)
        mine = {racing, asyncio.current_task()}
        for task in asyncio.all_tasks() - mine:
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await racing

    run(work())


async def test_the_server_of_the_one_that_lost_sees_its_client_go() -> None:
    async with faulty_upstream((HANG,)) as slow, faulty_upstream(chat_stream("a")) as quick:
        first = Upstream("u", UpstreamKind.OPENAI, (slow.url,), hedge_after_s=0.01)
        second = Upstream("v", UpstreamKind.OPENAI, (quick.url,), priority=1)
        wires = [HttpWire(first, slow.url), HttpWire(second, quick.url)]
        some = [Endpoint(first, wires[0]), Endpoint(second, wires[1])]
        request = UpstreamCall("r", "chat/completions", {"stream": msgspec.Raw(b"true")}, True)
        reply = await Sender(some).send(request, [Place("u", "m"), Place("v", "m")])
        assert isinstance(reply, StreamedReply)
        assert b"".join([piece async for piece in reply.events]).endswith(b"data: [DONE]\n\n")
        await reply.events.aclose()
        await (await slow.seen()).is_gone.wait()
        assert [each.num_outstanding for each in some] == [0, 0]
        for wire in wires:
            await wire.close()
