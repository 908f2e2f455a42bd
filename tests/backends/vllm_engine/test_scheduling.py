"""How vLLM lets requests wait and what it reuses, on an engine that takes one at a time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from backends.base import TokenRequest
from backends.vllm_engine.backend import VllmBackend
from core.sampling import SamplingPlan
from tests.engines import MODEL, settings_for

# vLLM's own size on a CPU.
BLOCK = 128

# vllm and what it imports warn of each other's future, which is not ours to mend.
pytestmark = [
    pytest.mark.engine,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("default"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def narrow(cache: Path) -> AsyncIterator[VllmBackend]:
    flags = {"JARVIS_VLLM_MAX_NUM_SEQS": "1", "JARVIS_CACHE_DIR": str(cache)}
    backend = VllmBackend(settings_for("vllm", **flags), MODEL)
    await backend.start(lambda _: None)
    yield backend
    await backend.close()


def request(name: str, max_tokens: int = 4, priority: int = 0) -> TokenRequest:
    plan = SamplingPlan(temperature=0.0)
    return TokenRequest(name, (1, 2, 3), max_tokens, frozenset(), plan, priority)


async def test_the_lowest_priority_goes_first_and_equals_in_their_order(
    narrow: VllmBackend,
) -> None:
    begun: list[str] = []

    async def run(wanted: TokenRequest) -> None:
        async for _ in narrow.generate(wanted):
            if wanted.id not in begun:
                begun.append(wanted.id)

    first = narrow.generate(request("first", max_tokens=2000))
    await anext(first)
    waiting = [("c", 0), ("d", 0), ("e", 7), ("a", -5), ("f", 7), ("b", -1)]
    tasks = [asyncio.create_task(run(request(name, priority=p))) for name, p in waiting]
    for _ in range(20):
        await anext(first)
    assert begun == [], "there is room for one sequence alone"
    await first.aclose()
    await asyncio.gather(*tasks)
    assert begun == ["a", "b", "c", "d", "e", "f"]


async def num_cached(backend: VllmBackend, wanted: TokenRequest) -> set[int]:
    return {step.num_cached async for step in backend.generate(wanted)}


async def test_whole_blocks_of_a_prompt_are_reused_under_the_same_salt_alone(
    narrow: VllmBackend,
) -> None:
    long = replace(request("plain"), prompt_ids=tuple(range(5, 5 + 2 * BLOCK + 9)))
    salted = replace(long, id="salted", cache_salt="one")
    assert await num_cached(narrow, long) == {0}
    assert await num_cached(narrow, long) == {2 * BLOCK}
    assert await num_cached(narrow, salted) == {0}
    assert await num_cached(narrow, salted) == {2 * BLOCK}
    assert await num_cached(narrow, replace(salted, cache_salt="two")) == {0}
    short = replace(long, prompt_ids=long.prompt_ids[: BLOCK + 20])
    assert await num_cached(narrow, short) == {BLOCK}
