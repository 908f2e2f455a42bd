"""An answer that one of several begins is that one's alone."""

import asyncio
from collections.abc import AsyncGenerator, Callable

import pytest

from core.errors import (
    EngineFailed,
    EngineUnavailable,
    JarvisError,
    UnsupportedField,
    UpstreamFailed,
    UpstreamFailure,
    UpstreamFault,
    UpstreamRefused,
)
from core.events import GenerationEvent, TextDelta
from serving.answer_source import AnswerSource
from serving.remote.chain import AnswerChain, Attempt
from tests.answer_sources import MadeSource

DOWN = UpstreamFailed("a is down", UpstreamFailure("a", UpstreamFault.CONNECTION))
BUSY = UpstreamFailed("b is busy", UpstreamFailure("b", UpstreamFault.STATUS, 429))
LOADING = EngineUnavailable("it loads")
DIED = EngineFailed("it died")
NOT_HERE = UnsupportedField("no such thing here", param="x")
REFUSED = UpstreamRefused("a says no", "a", 404, "application/json", b"{}")


def attempt(outcome: AnswerSource | JarvisError) -> Attempt:
    async def prepared() -> AnswerSource:
        if isinstance(outcome, JarvisError):
            raise outcome
        return outcome

    return prepared


class Tried:
    """A chain of outcomes, and the failures that were told of."""

    def __init__(self, *outcomes: AnswerSource | JarvisError) -> None:
        self.passed: list[JarvisError] = []
        self.chain = AnswerChain(list(map(attempt, outcomes)), self.passed.append)

    async def text(self) -> str:
        await self.chain.prepare()
        told = ""
        async for event in self.chain.events():
            assert isinstance(event, TextDelta)
            told += event.text
        return told


def says(*texts: str, error: JarvisError | None = None) -> MadeSource:
    return MadeSource(tuple(map(TextDelta, texts)), error, max_tokens=7, num_prompt_tokens=3)


def counts(chain: AnswerChain) -> tuple[int | None, int, int]:
    return chain.max_tokens, chain.num_prompt_tokens, chain.num_completion_tokens


async def test_the_first_that_can_answers() -> None:
    unused = says("never")
    tried = Tried(says("a", "b"), unused)
    assert await tried.text() == "ab"
    assert tried.passed == []


@pytest.mark.parametrize("failure", [DOWN, BUSY, LOADING, DIED])
@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: says(error=error)])
async def test_one_that_fails_before_its_first_event_has_a_stand_in(
    failure: JarvisError, wrap: Callable[[JarvisError], AnswerSource | JarvisError]
) -> None:
    tried = Tried(wrap(failure), says("a"))
    assert await tried.text() == "a"
    assert tried.passed == [failure]


@pytest.mark.parametrize("failure", [DOWN, DIED])
async def test_a_failure_after_the_first_event_is_the_answers(failure: JarvisError) -> None:
    unused = says("never")
    tried = Tried(says("a", error=failure), unused)
    with pytest.raises(type(failure)):
        await tried.text()
    assert tried.passed == []
    assert not unused.is_closed


async def test_if_all_fail_the_last_failure_is_told() -> None:
    for outcomes in (
        (LOADING, says(error=DIED), BUSY),
        (LOADING, DIED, says(error=BUSY)),
        (says(error=LOADING), BUSY, NOT_HERE),
        (says(error=BUSY), NOT_HERE, NOT_HERE),
    ):
        tried = Tried(*outcomes)
        with pytest.raises(UpstreamFailed, match="busy"):
            await tried.text()
        assert tried.passed[-1] is BUSY


async def test_what_the_first_refuses_is_refused() -> None:
    tried = Tried(NOT_HERE, says("never"))
    with pytest.raises(UnsupportedField):
        await tried.text()
    assert tried.passed == []


async def test_what_a_server_refuses_is_not_asked_of_others() -> None:
    tried = Tried(says(error=REFUSED), says("never"))
    with pytest.raises(UpstreamRefused):
        await tried.text()


async def test_one_that_cant_take_the_request_is_passed_over() -> None:
    assert await Tried(DOWN, NOT_HERE, NOT_HERE, says("a")).text() == "a"
    assert await Tried(says(error=DOWN), NOT_HERE, says("a")).text() == "a"


async def test_its_counts_are_those_of_who_answers() -> None:
    tried = Tried(DOWN, says("a"))
    assert counts(tried.chain) == (None, 0, 0)
    await tried.text()
    assert counts(tried.chain) == (7, 3, 0)
    assert tried.chain.choice == 0


async def test_closing_it_closes_who_answers() -> None:
    source = says("a", "b")
    tried = Tried(says(error=DOWN), source, says("never"))
    await tried.chain.prepare()
    events = tried.chain.events()
    await anext(events)
    await events.aclose()
    assert source.is_closed


async def test_cancelling_it_before_the_first_event_asks_nobody_else() -> None:
    class Silent(MadeSource):
        async def events(self) -> AsyncGenerator[GenerationEvent, None]:
            is_asked.set()
            try:
                await asyncio.get_running_loop().create_future()
                yield TextDelta("never")
            finally:
                self.is_closed = True

    is_asked, source = asyncio.Event(), Silent()
    tried = Tried(source, says("never"))
    reading = asyncio.create_task(tried.text())
    await is_asked.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert source.is_closed
    assert tried.passed == []
