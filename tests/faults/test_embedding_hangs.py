"""Embedding engines that stop in the middle of their work: a native call, and a process."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from backends.embedding import EmbeddingBackend
from backends.embedding_delegate import EmbeddingDelegate
from backends.restart_rules import RestartRules
from core.errors import EngineFailed, EngineUnavailable
from core.lifecycle import EngineState, LoadProgress
from tests.embedding_engines import EMBEDDERS
from tests.processes import descendants

# vllm and what it imports warn of each other's future, which is not ours to mend.
pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.engine,
    pytest.mark.long,
    pytest.mark.filterwarnings("default"),
]
# Well above what a batch takes on a machine that has much else to do.
RULES = RestartRules(max_restarts=3, first_delay_s=0.01, longest_delay_s=10_000, step_timeout_s=20)
STALLED = "the engine made no step for 20 s while it had work"


class Life:
    """A delegate over a real engine, and calls that tell how things are."""

    def __init__(self, engine: str, cache: Path) -> None:
        self._changed = asyncio.Event()
        self.backends: list[EmbeddingBackend] = []

        async def open_backend(_: Callable[[LoadProgress], None]) -> EmbeddingBackend:
            self.backends.append(EMBEDDERS[engine](cache))
            return self.backends[-1]

        self.delegate = EmbeddingDelegate(engine, open_backend, RULES)
        self.delegate.start(self._changed.set)

    async def until(self, state: EngineState, num_restarts: int = 0) -> None:
        wanted = (state, num_restarts)
        while (self.delegate.status.state, self.delegate.status.num_restarts) != wanted:
            self._changed.clear()
            await self._changed.wait()

    async def outcome(self, num_inputs: int = 1) -> str:
        try:
            vectors = await self.delegate.embed("same", [(101, 2000, 102)] * num_inputs)
        except EngineFailed as error:
            return str(error)
        return f"{len(vectors)} vectors"


@pytest.mark.parametrize("is_stopping", [False, True])
async def test_a_hanging_llama_decode_is_given_up_and_keeps_nobody_waiting(
    cache: Path, monkeypatch: pytest.MonkeyPatch, *, is_stopping: bool
) -> None:
    import llama_cpp

    life = Life("llama", cache)
    await life.until(EngineState.READY)
    others = set(threading.enumerate())
    real, hangs, may_go_on = llama_cpp.llama_decode, threading.Event(), threading.Event()

    def hanging(context: object, batch: object) -> object:
        hangs.set()
        may_go_on.wait()
        return real(context, batch)

    monkeypatch.setattr(llama_cpp, "llama_decode", hanging)
    calls = [asyncio.create_task(life.outcome(300)) for _ in range(3)]
    await asyncio.to_thread(hangs.wait)
    if is_stopping:
        await life.delegate.close()
    assert [await call for call in calls] == [STALLED] * 3
    if not is_stopping:
        assert await life.delegate.given_up() == STALLED
        assert life.delegate.status.state is EngineState.FAILED
        with pytest.raises(EngineUnavailable, match="made no step"):
            await life.outcome()
        await life.delegate.close()
    assert len(life.backends) == 1
    (left,) = (each for each in others if each.name == "llama-embedder")
    may_go_on.set()
    await asyncio.to_thread(left.join)


async def test_a_long_call_of_many_batches_is_no_hang(cache: Path) -> None:
    life = Life("llama", cache)
    await life.until(EngineState.READY)
    backend = life.backends[0]
    assert await life.outcome(300) == "300 vectors"
    assert backend.num_steps >= 300 / 64
    await life.delegate.close()


@pytest.mark.timeout(900)
async def test_a_stopped_engine_process_is_ended_and_replaced(cache: Path) -> None:
    others = descendants()
    life = Life("vllm", cache)
    await life.until(EngineState.READY)
    backend = life.backends[0]
    assert await life.outcome(200) == "200 vectors"
    assert 1 <= backend.num_steps <= 200
    own = [psutil.Process(pid) for pid in descendants().keys() - others.keys()]
    (core,) = (process for process in own if process.name().startswith("VLLM::EngineCore"))
    os.kill(core.pid, signal.SIGSTOP)
    endings = await asyncio.gather(*(life.outcome(20) for _ in range(3)))
    assert len(endings) == 3
    assert "20 vectors" not in endings
    assert STALLED in (life.delegate.status.reason or "")
    await life.until(EngineState.READY, num_restarts=1)
    assert await life.outcome(20) == "20 vectors"
    await life.delegate.close()
    assert descendants() == others
