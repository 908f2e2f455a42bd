"""What every backend tells of its work, and that a sequence nobody reads is freed at once."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

import pytest

from backends.base import TokenRequest, TokenStep
from core.engine_stats import IDLE, EngineStats
from tests.engines import Engine

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG = "<|im_start|>user\nCount with me: " + "one two three " * 30 + "<|im_end|>\n"


async def until(engine: Engine, is_so: Callable[[EngineStats], bool]) -> EngineStats:
    """No event tells of statistics. The test's own time limit ends it."""
    while not is_so(engine.backend.stats):
        await asyncio.sleep(0.002)
    return engine.backend.stats


def is_idle(stats: EngineStats) -> bool:
    return not stats.num_running and not stats.num_waiting


async def first_step(engine: Engine, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
    stream = engine.backend.generate(request)
    await anext(stream)
    return stream


async def test_nothing_is_told_before_the_start(fresh: Engine) -> None:
    assert fresh.backend.stats == IDLE
    await fresh.backend.close()


async def test_totals_grow_with_the_work_and_an_idle_engine_holds_nothing(engine: Engine) -> None:
    before = await until(engine, is_idle)
    await engine.answer(engine.request(engine.prompt(LONG), 12))
    after = await until(engine, is_idle)
    # A guess that holds saves a step.
    assert 1 <= after.num_steps - before.num_steps <= 24
    assert after.kv_cache_usage == 0
    assert after.num_preemptions == before.num_preemptions
    if engine.kind != "scripted":
        assert after.step_s > before.step_s


async def test_who_has_an_answer_does_not_find_it_running(engine: Engine) -> None:
    if engine.kind == "scripted":
        return
    await until(engine, is_idle)
    for _ in range(20):
        stream = engine.backend.generate(engine.request(engine.prompt("Hello"), 2))
        ended = [engine.backend.stats async for step in stream if step.finish]
        assert [is_idle(stats) for stats in ended] == [True]


async def test_an_idle_engine_makes_no_steps(engine: Engine) -> None:
    before = await until(engine, is_idle)
    await asyncio.gather(*(asyncio.sleep(0) for _ in range(100)))
    assert engine.backend.stats == before


async def test_live_sequences_are_counted_with_what_they_hold(engine: Engine) -> None:
    await until(engine, is_idle)
    request = engine.request(engine.prompt(LONG), 400)
    streams = [await first_step(engine, request) for _ in range(2)]
    stats = await until(engine, lambda stats: stats.num_running == 2)
    assert 0 < stats.kv_cache_usage < 1
    for stream in streams:
        await stream.aclose()
    assert (await until(engine, is_idle)).kv_cache_usage == 0


async def test_lookups_and_what_they_found_are_counted_in_ids(engine: Engine) -> None:
    before = await until(engine, is_idle)
    request = replace(engine.request(engine.prompt(LONG * 3), 4), cache_salt=uuid.uuid4().hex)
    (first, *_) = [step async for step in engine.backend.generate(request)]
    (again, *_) = [step async for step in engine.backend.generate(request)]
    after = await until(engine, is_idle)
    assert after.prefix_queries - before.prefix_queries == 2 * len(request.prompt_ids)
    assert after.prefix_hits - before.prefix_hits == first.num_cached + again.num_cached > 0


async def test_a_prompt_that_is_scored_is_not_looked_up(engine: Engine) -> None:
    before = await until(engine, is_idle)
    request = replace(engine.request(engine.prompt(LONG), 2), num_prompt_logprobs=0)
    await engine.answer(request)
    after = await until(engine, is_idle)
    assert after.prefix_queries == before.prefix_queries


async def test_more_than_there_are_slots_for_wait(engine: Engine) -> None:
    if engine.kind == "scripted":
        return
    await until(engine, is_idle)
    num_slots = engine.backend.card.num_slots
    assert num_slots < 512
    tasks = [
        asyncio.create_task(engine.answer(engine.request(engine.prompt("Hello"), 300)))
        for _ in range(num_slots + 3)
    ]
    stats = await until(engine, lambda stats: stats.num_running == num_slots)
    assert stats.num_waiting <= 3
    tasks.pop().cancel()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(engine, is_idle)


async def test_a_disconnect_in_the_queue_frees_the_place(engine: Engine) -> None:
    if engine.kind == "scripted":
        return
    num_slots = engine.backend.card.num_slots
    request = engine.request(engine.prompt("Hello"), 300)
    running = [
        asyncio.create_task(engine.answer(replace(request, id=uuid.uuid4().hex)))
        for _ in range(num_slots)
    ]
    await until(engine, lambda stats: stats.num_running == num_slots)
    late = asyncio.create_task(engine.answer(replace(request, id="late", priority=5)))
    await until(engine, lambda stats: stats.num_waiting == 1)
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)
    stats = await until(engine, lambda stats: not stats.num_waiting)
    assert stats.num_running == num_slots
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await until(engine, is_idle)


async def test_a_disconnect_in_prefill_ends_it_long_before_its_prompt_is_computed(
    engine: Engine,
) -> None:
    if engine.kind == "scripted":
        return
    window = engine.backend.card.context_window
    prompt = (engine.prompt("hello ") * window)[: window - 200]
    salt = uuid.uuid4().hex
    task = asyncio.create_task(engine.answer(replace(engine.request(prompt, 200), cache_salt=salt)))
    await until(engine, lambda stats: stats.num_running == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    before = engine.backend.stats.num_steps
    after = await until(engine, is_idle)
    assert after.num_steps - before <= 2


async def test_a_disconnect_in_decode_frees_the_sequence_within_a_step(engine: Engine) -> None:
    stream = await first_step(engine, engine.request(engine.prompt(LONG), 1000))
    await until(engine, lambda stats: stats.num_running == 1)
    await stream.aclose()
    before = engine.backend.stats.num_steps
    after = await until(engine, is_idle)
    # One may have been under way, and one computed ahead of the reader.
    assert after.num_steps - before <= 2
    assert after.kv_cache_usage == 0
