"""Events of several choices come merged, in order, with their end; a failure comes after them."""

import asyncio
from collections.abc import Iterator

import pytest

from api.pump import EventPump
from backends.base import TokenRequest
from backends.scripted import ScriptedBackend
from core.errors import EngineFailed
from core.events import FinishReason, GenerationEnd, TextDelta
from core.requests import GenerationRequest, View
from serving.generation import Generation
from serving.service import GenerationService
from tests.api.streams import Gate
from tests.script import counting
from tests.serving.over_script import service_over

Running = set[asyncio.Task[None]]


async def two(service: GenerationService) -> list[Generation]:
    return await service.prepare(GenerationRequest("r", "hi", max_tokens=3, num_choices=2))


async def test_a_choice_costs_a_text_and_an_end_however_late_it_is_taken() -> None:
    async with service_over(ScriptedBackend(lambda _: b"abc")) as service:
        running: Running = set()
        pump = EventPump(await two(service), running)
        await asyncio.wait(running)
        end = GenerationEnd(FinishReason.LENGTH, 2, 3)
        assert await pump.take() == {0: [TextDelta("abc"), end], 1: [TextDelta("abc"), end]}
        assert await pump.take() == {}
        assert running == set()


async def test_joined_text_keeps_the_scores_of_its_parts() -> None:
    async with service_over(ScriptedBackend(lambda _: b"abc")) as service:
        running: Running = set()
        wanted = GenerationRequest("r", "hi", max_tokens=3, view=View(num_logprobs=0))
        pump = EventPump(await service.prepare(wanted), running)
        await asyncio.wait(running)
        delta, _ = (await pump.take())[0]
        assert isinstance(delta, TextDelta)
        assert [score.token_id for score in delta.scores] == list(b"abc")


async def test_scores_are_joined_to_pieces_that_are_soon_shown() -> None:
    count = 3 * 128 + 1
    async with service_over(ScriptedBackend(lambda _: b"a" * count)) as service:
        running: Running = set()
        wanted = GenerationRequest("r", "hi", max_tokens=count, view=View(num_logprobs=0))
        pump = EventPump(await service.prepare(wanted), running)
        await asyncio.wait(running)
        *deltas, _ = (await pump.take())[0]
        sizes = [len(each.scores) for each in deltas if isinstance(each, TextDelta)]
        assert sum(sizes) == count
        assert max(sizes) <= 128
        assert len(sizes) <= 5


async def test_what_came_before_a_failure_is_given_out_before_it() -> None:
    gate = Gate(num_open=4)
    backend = ScriptedBackend(counting, gate=gate.passed)
    async with service_over(backend) as service:
        running: Running = set()
        pump = EventPump(await two(service), running)
        await gate.is_waited_for.wait()
        backend.fail("the engine died")
        gate.open()
        await asyncio.wait(running)
        assert {index: len(events) for index, events in (await pump.take()).items()} == {0: 1, 1: 1}
        with pytest.raises(EngineFailed, match="the engine died"):
            await pump.take()


async def test_what_nobody_foresaw_is_an_engines_failure_without_details() -> None:
    def broken(_: TokenRequest) -> Iterator[int]:
        raise LookupError("inner detail")
        yield 0

    async with service_over(ScriptedBackend(broken)) as service:
        pump = EventPump(await two(service), set())
        with pytest.raises(EngineFailed, match="internal error"):
            await pump.take()


async def test_closing_ends_all_choices_and_gives_a_waiting_taker_the_end() -> None:
    gate = Gate()
    backend = ScriptedBackend(counting, gate=gate.passed)
    async with service_over(backend) as service:
        running: Running = set()
        pump = EventPump(await two(service), running)
        taking = asyncio.create_task(pump.take())
        await gate.is_waited_for.wait()
        pump.close()
        await asyncio.wait(running)
        assert await taking == {}
        assert backend.num_live == 0
