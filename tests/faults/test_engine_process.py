"""vLLM's engine process is killed, or hangs, while it works: a real one, by real signals."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from backends.base import Backend, ModelCard, Tokenizer, TokenRequest
from backends.delegate import Delegate
from backends.restart_rules import RestartRules
from core.errors import EngineFailed, EngineUnavailable
from core.lifecycle import EngineState, LoadProgress
from core.sampling import SamplingPlan, Seed
from tests.engines import Answer, Engine, settings_for, vllm_backend
from tests.faults.broken_weights import write_with_broken_id
from tests.processes import descendants

# vllm and what it imports warn of each other's future, which is not ours to mend.
pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.engine,
    pytest.mark.long,
    pytest.mark.filterwarnings("default"),
]
# Marked on each: one of the file would give way to that of `engine`.
several_starts = pytest.mark.timeout(900)
RULES = RestartRules(max_restarts=3, first_delay_s=0.1, longest_delay_s=10_000, step_timeout_s=4)


def request(number: int, max_tokens: int) -> TokenRequest:
    return TokenRequest(
        f"request {number}", (1, 2, 3), max_tokens, frozenset(), SamplingPlan(temperature=0.0)
    )


async def read(delegate: Delegate, number: int, begun: asyncio.Semaphore) -> list[str]:
    """How the answer ended: each way that it did."""
    endings: list[str] = []
    try:
        async for step in delegate.generate(request(number, 3900)):
            begun.release()
            endings += ["finish"] if step.finish else []
    except EngineFailed as error:
        endings.append(str(error))
    return endings


async def readers(delegate: Delegate, count: int) -> list[asyncio.Task[list[str]]]:
    """As many answers under way, each with ids already."""
    begun = [asyncio.Semaphore(0) for _ in range(count)]
    tasks = [asyncio.create_task(read(delegate, i, each)) for i, each in enumerate(begun)]
    await asyncio.gather(*(each.acquire() for each in begun))
    return tasks


def engine_process(others: dict[int, str]) -> psutil.Process:
    own = [psutil.Process(pid) for pid in descendants().keys() - others.keys()]
    (core,) = (process for process in own if process.name().startswith("VLLM::EngineCore"))
    return core


@several_starts
async def test_a_killed_and_a_stopped_engine_process_are_replaced(cache: Path) -> None:
    others = descendants()
    states: list[EngineState] = []

    async def open_backend(_: Callable[[LoadProgress], None]) -> Backend:
        return vllm_backend(cache)

    async def adopt(_: ModelCard, __: Tokenizer) -> None:
        pass

    has_changed = asyncio.Event()

    def note() -> None:
        states.append(delegate.status.state)
        has_changed.set()

    async def until(state: EngineState, num_restarts: int) -> None:
        while (delegate.status.state, delegate.status.num_restarts) != (state, num_restarts):
            has_changed.clear()
            await has_changed.wait()

    delegate = Delegate("vllm", open_backend, RULES)
    delegate.start(adopt, note)
    await until(EngineState.READY, 0)

    live = await readers(delegate, 8)
    engine_process(others).kill()
    async with asyncio.timeout(1):
        await until(EngineState.LOADING, 0)
        endings = await asyncio.gather(*live)
    assert endings == [["vLLM's engine ended while it worked on the request"]] * 8
    with pytest.raises(EngineUnavailable, match="it is loaded again"):
        await anext(delegate.generate(request(9, 2)))
    await until(EngineState.READY, 1)
    steps = [step async for step in delegate.generate(request(10, 5))]
    assert sum(len(step.token_ids) for step in steps) == 5

    live = await readers(delegate, 3)
    os.kill(engine_process(others).pid, signal.SIGSTOP)
    endings = await asyncio.gather(*live)
    assert [len(each) for each in endings] == [1] * 3
    assert "finish" not in [each[0] for each in endings]
    assert delegate.status.state is EngineState.LOADING
    assert "made no step for 4 s" in (delegate.status.reason or "")
    await delegate.close()
    assert states[-1] is EngineState.CLOSED
    assert descendants() == others


@several_starts
async def test_logits_that_are_no_numbers_end_their_request_alone(
    cache: Path, tmp_path: Path
) -> None:
    from backends.vllm_engine.backend import VllmBackend

    model = write_with_broken_id(tmp_path / "broken.gguf", 4000)
    settings = settings_for("vllm", JARVIS_CACHE_DIR=str(cache))
    engine = Engine("vllm", VllmBackend(settings, model))
    await engine.backend.start(lambda _: None)
    good = engine.request(engine.prompt("Hello there, who are you?"), 40)
    expected = await engine.answer(good)
    assert isinstance(expected, Answer)
    for sampling in (SamplingPlan(temperature=0.0), SamplingPlan(), SamplingPlan(seed=Seed(1))):
        bad = engine.request((*good.prompt_ids, 4000, 5, 6), 20, sampling=sampling)
        others = [asyncio.create_task(engine.answer(replace(good, id=f"{n}"))) for n in range(2)]
        with pytest.raises(EngineFailed, match="some are nan"):
            await engine.answer(bad)
        assert await asyncio.gather(*others) == [expected] * 2
    await engine.backend.close()
