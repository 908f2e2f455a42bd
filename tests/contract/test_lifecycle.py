"""What every backend promises of its start and its end."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from dataclasses import replace

import psutil
import pytest

from backends.base import TokenStep
from core.errors import EngineFailed, EngineUnavailable, JarvisError
from core.grammar import Grammar, GrammarKind
from core.lifecycle import LoadProgress
from tests.contract.conftest import KINDS_IN_SHORT
from tests.engines import Engine


def engine_threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("llama-engine")}


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def test_a_backend_that_was_not_started_takes_no_requests(fresh: Engine) -> None:
    with pytest.raises(EngineUnavailable):
        _ = fresh.backend.card
    await fresh.backend.close()


async def test_closing_during_load_ends_the_load_and_leaves_nothing(fresh: Engine) -> None:
    before, threads = children(), engine_threads()
    has_begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def report(_: LoadProgress) -> None:
        loop.call_soon_threadsafe(has_begun.set)

    start = asyncio.create_task(fresh.backend.start(report))
    await has_begun.wait()
    await fresh.backend.close()
    if fresh.kind != "scripted":
        with pytest.raises(JarvisError):
            await start
    await asyncio.gather(start, return_exceptions=True)
    assert children() <= before
    assert engine_threads() <= threads


@pytest.mark.parametrize("fresh", KINDS_IN_SHORT, indirect=True)
async def test_closing_under_load_fails_every_live_request_and_leaves_nothing(
    fresh: Engine,
) -> None:
    before, threads = children(), engine_threads()
    await fresh.backend.start(lambda _: None)
    request = fresh.request(fresh.prompt("hello"), 2000)
    streams = [fresh.backend.generate(request) for _ in range(4)]
    await asyncio.gather(*(anext(stream) for stream in streams))
    readers = [asyncio.create_task(_read_to_the_end(stream)) for stream in streams]
    await asyncio.sleep(0)
    await fresh.backend.close()
    assert await asyncio.gather(*readers) == ["failed"] * 4
    with pytest.raises(EngineUnavailable):
        await anext(fresh.backend.generate(request))
    await fresh.backend.close()
    assert children() <= before
    assert engine_threads() <= threads


async def _read_to_the_end(stream: AsyncGenerator[TokenStep, None]) -> str:
    try:
        async for _ in stream:
            pass
    except EngineFailed:
        return "failed"
    return "ended"


@pytest.mark.parametrize("fresh", KINDS_IN_SHORT, indirect=True)
async def test_a_close_while_a_grammar_compiles_ends_the_request_with_an_error(
    fresh: Engine,
) -> None:
    if fresh.kind == "scripted":
        return
    await fresh.backend.start(lambda _: None)
    grammar = Grammar(GrammarKind.REGEX, "(a|b|c){1,400}x")
    requests = [
        replace(fresh.request(fresh.prompt("Hello"), 64), grammar=grammar) for _ in range(8)
    ]
    answers = [asyncio.create_task(fresh.answer(request)) for request in requests]
    await asyncio.sleep(0)
    await fresh.backend.close()
    for ended in await asyncio.gather(*answers, return_exceptions=True):
        assert isinstance(ended, EngineFailed | EngineUnavailable), ended
