"""From a request to its events: made once, drawn for each choice, counted as it goes."""

from contextlib import aclosing

import pytest

from backends.scripted import END_ID, ScriptedBackend
from core.errors import ContextLengthExceeded, EngineFailed
from core.events import FinishReason, GenerationEnd, TextDelta
from core.requests import Ending, GenerationRequest
from core.structures import JsonObject
from tests.serving.over_script import CountingTokenizer, service_over


async def test_a_prompt_is_made_once_for_all_its_choices() -> None:
    backend, tokenizers = ScriptedBackend(lambda _: b"ab"), list[CountingTokenizer]()
    async with service_over(backend, tokenizers) as service:
        wanted = GenerationRequest("r", "hello", num_choices=3, max_tokens=2)
        generations = await service.prepare(wanted)
        assert tokenizers[0].num_calls == 1
        assert [each.choice for each in generations] == [0, 1, 2]
        assert backend.requests == []
        for generation in generations:
            events = [event async for event in generation.events()]
            assert events[-1] == GenerationEnd(FinishReason.LENGTH, 5, 2)
    assert [each.id for each in backend.requests] == ["r-0", "r-1", "r-2"]


async def test_priority_salt_and_reuse_pass_through() -> None:
    backend = ScriptedBackend(lambda _: b"ab", count_cached=lambda request: request.priority)
    async with service_over(backend) as service:
        wanted = GenerationRequest("r", "hello", max_tokens=2, priority=3, cache_salt="mine")
        (generation,) = await service.prepare(wanted)
        events = [event async for event in generation.events()]
    assert events[-1] == GenerationEnd(FinishReason.LENGTH, 5, 2, num_cached_tokens=3)
    assert backend.requests[0].cache_salt == "mine"


async def test_what_was_produced_before_an_abort_is_known() -> None:
    async with service_over(ScriptedBackend(lambda _: b"abcd")) as service:
        (generation,) = await service.prepare(GenerationRequest("r", "hello", max_tokens=4))
        assert generation.num_completion_tokens == 0
        async with aclosing(generation.events()) as events:
            assert await anext(events) == TextDelta("a")
            assert await anext(events) == TextDelta("b")
        assert generation.num_completion_tokens == 2


async def test_what_does_not_fit_is_refused_for_all_choices() -> None:
    backend = ScriptedBackend(lambda _: b"ab", context_window=6)
    async with service_over(backend) as service:
        with pytest.raises(ContextLengthExceeded):
            await service.prepare(GenerationRequest("r", "hello", num_choices=2, max_tokens=2))


@pytest.mark.parametrize("script", [b'{"a": 1', b'{"a"', b""])
async def test_a_structure_that_an_engine_ended_too_early_is_an_error(script: bytes) -> None:
    async with service_over(ScriptedBackend(lambda _: [*script, END_ID])) as service:
        wanted = GenerationRequest("r", "hello", structure=JsonObject())
        (generation,) = await service.prepare(wanted)
        with pytest.raises(EngineFailed, match="too complex"):
            _ = [event async for event in generation.events()]


async def test_a_sequence_that_ends_without_a_reason_is_an_error() -> None:
    async with service_over(ScriptedBackend(lambda _: b"ab")) as service:
        (generation,) = await service.prepare(GenerationRequest("r", "hello"))
        with pytest.raises(EngineFailed, match="without saying why"):
            _ = [event async for event in generation.events()]


async def test_a_structure_may_be_cut_by_length_and_stops_and_end_where_it_is_whole() -> None:
    async with service_over(ScriptedBackend(lambda _: [*b'{"a": 1}', END_ID])) as service:
        for fields in ({}, {"max_tokens": 3}, {"ending": Ending(stop=("1",))}):
            wanted = GenerationRequest("r", "hello", structure=JsonObject(), **fields)
            (generation,) = await service.prepare(wanted)
            events = [event async for event in generation.events()]
            assert isinstance(events[-1], GenerationEnd)


def test_a_request_for_no_choice_is_our_own_bug() -> None:
    with pytest.raises(ValueError, match="num_choices 0"):
        GenerationRequest("r", "hello", num_choices=0)
