"""Whether the embedding engine goes on while it has work: what hangs is ended, or given up."""

import asyncio
from collections.abc import Callable, Sequence

from backends.embedding import EmbeddingBackend, Vector
from backends.embedding_delegate import EmbeddingDelegate
from backends.restart_rules import RestartRules
from backends.scripted_embedding import ScriptedEmbedding
from core.errors import EngineFailed
from core.lifecycle import EngineState, LoadProgress
from tests.backends.remote.virtual_time import now, run

RULES = RestartRules(max_restarts=3, step_timeout_s=300)
STALLED = "the engine made no step for 300 s while it had work"


class Hanging(ScriptedEmbedding):
    """A step takes `step_s`, as many as there are inputs; None: it never comes, and the backend
    can't be closed before it was abandoned.
    """

    def __init__(self, step_s: float | None, *, can_be_abandoned: bool = True) -> None:
        super().__init__()
        self._step_s = step_s
        self._can_be_abandoned = can_be_abandoned
        self._ending: asyncio.Future[list[Vector]] = asyncio.get_running_loop().create_future()
        self._is_hanging = False

    async def embed(self, request_id: str, inputs: Sequence[tuple[int, ...]]) -> list[Vector]:
        for _ in inputs:
            if self._step_s is None:
                self._is_hanging = True
                return await asyncio.shield(self._ending)
            await asyncio.sleep(self._step_s)
            self.num_steps += 1
        return await super().embed(request_id, inputs)

    async def close(self) -> None:
        if self._is_hanging:
            await asyncio.wait({self._ending})
        await super().close()

    async def abandon(self, reason: str) -> bool:
        if not self._ending.done():
            self._ending.set_exception(EngineFailed(reason))
        return self._can_be_abandoned


class Life:
    """A delegate over one backend after the other; the last one stays."""

    def __init__(self, *backends: EmbeddingBackend, rules: RestartRules = RULES) -> None:
        self._backends = list(backends)
        self._changed = asyncio.Event()
        self.num_loads = 0
        self.delegate = EmbeddingDelegate("scripted", self._open, rules)
        self.delegate.start(self._changed.set)

    async def _open(self, _: Callable[[LoadProgress], None]) -> EmbeddingBackend:
        self.num_loads += 1
        return self._backends[min(self.num_loads, len(self._backends)) - 1]

    async def until(self, state: EngineState, num_restarts: int = 0) -> None:
        wanted = (state, num_restarts)
        while (self.delegate.status.state, self.delegate.status.num_restarts) != wanted:
            self._changed.clear()
            await self._changed.wait()

    async def outcome(self, num_inputs: int = 1) -> str:
        try:
            vectors = await self.delegate.embed("one", [(1, 2)] * num_inputs)
        except EngineFailed as error:
            return str(error)
        return f"{len(vectors)} vectors"


def test_one_that_makes_no_step_counts_as_dead_and_is_loaded_again() -> None:
    async def work() -> None:
        life = Life(Hanging(None), Hanging(1))
        await life.until(EngineState.READY)
        began = now()
        outcomes = await asyncio.gather(*(life.outcome() for _ in range(3)))
        assert outcomes == [STALLED] * 3
        assert 300 <= now() - began <= 375
        assert life.delegate.status.state is EngineState.LOADING
        await life.until(EngineState.READY, num_restarts=1)
        assert await life.outcome() == "1 vectors"
        await life.delegate.close()

    run(work())


def test_one_that_can_not_be_ended_while_it_hangs_is_given_up_at_once() -> None:
    async def work() -> None:
        life = Life(Hanging(None, can_be_abandoned=False))
        await life.until(EngineState.READY)
        assert await life.outcome() == STALLED
        assert await life.delegate.given_up() == STALLED
        assert life.delegate.status.state is EngineState.FAILED
        assert life.num_loads == 1
        await life.delegate.close()

    run(work())


def test_one_that_goes_on_slowly_or_has_nothing_to_do_is_left_alone() -> None:
    async def work() -> None:
        life = Life(Hanging(290))
        await life.until(EngineState.READY)
        began = now()
        assert await life.outcome(num_inputs=5) == "5 vectors"
        assert now() - began == 5 * 290
        await asyncio.sleep(10_000)
        assert await life.outcome() == "1 vectors"
        assert life.delegate.status.state is EngineState.READY
        await life.delegate.close()

    run(work())


def test_a_call_that_was_given_up_is_no_work_and_the_next_one_has_its_own_time() -> None:
    async def work() -> None:
        life = Life(Hanging(None))
        await life.until(EngineState.READY)
        call = asyncio.create_task(life.outcome())
        await asyncio.sleep(200)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(10_000)
        assert life.delegate.status.state is EngineState.READY
        began = now()
        assert await life.outcome() == STALLED
        assert 300 <= now() - began <= 375
        await life.delegate.close()

    run(work())


def test_it_is_seen_while_the_server_stops_too() -> None:
    async def work() -> None:
        life = Life(Hanging(None))
        await life.until(EngineState.READY)
        call = asyncio.create_task(life.outcome())
        await asyncio.sleep(200)
        await life.delegate.close()
        assert 300 <= now() <= 375
        assert await call == STALLED
        assert life.delegate.status.state is EngineState.CLOSED

    run(work())


def test_without_a_limit_nobody_watches() -> None:
    async def work() -> None:
        life = Life(Hanging(100_000), rules=RestartRules(max_restarts=3))
        await life.until(EngineState.READY)
        assert await life.outcome() == "1 vectors"
        assert life.num_loads == 1
        await life.delegate.close()

    run(work())
