"""An engine that was ready and died is loaded again, so often and no more."""

import asyncio
from collections.abc import Callable

import pytest

from backends.base import Backend, ModelCard, Tokenizer, TokenRequest
from backends.delegate import Delegate
from backends.restart_rules import RestartRules, Restarts
from backends.scripted import ScriptedBackend
from core.errors import EngineFailed, EngineUnavailable, ModelLoadError
from core.lifecycle import EngineState, LoadProgress
from core.sampling import SamplingPlan
from tests.backends.remote.virtual_time import now, run
from tests.script import counting, scripted_backend

REQUEST = TokenRequest("one", (1, 2), 50, frozenset(), SamplingPlan())
RULES = RestartRules(max_restarts=3, first_delay_s=0.001, longest_delay_s=1000)
STALLING = RestartRules(max_restarts=3, step_timeout_s=300)


class Loads:
    """Opens a fresh backend at each load; from `first_failure` on, loads fail."""

    def __init__(
        self,
        make: Callable[[], ScriptedBackend] = scripted_backend,
        first_failure: int | None = None,
    ) -> None:
        self._make = make
        self._first_failure = first_failure
        self.backends: list[ScriptedBackend] = []
        self.num_adopted = 0

    async def open(self, _: Callable[[LoadProgress], None]) -> Backend:
        if self._first_failure is not None and len(self.backends) >= self._first_failure:
            raise ModelLoadError("the model file is gone")
        self.backends.append(self._make())
        return self.backends[-1]

    async def adopt(self, _: ModelCard, __: Tokenizer) -> None:
        self.num_adopted += 1


class Life:
    """A delegate over scripted engines, with each state it passed through."""

    def __init__(self, loads: Loads, rules: RestartRules = RULES) -> None:
        self.loads = loads
        self.delegate = Delegate("scripted", loads.open, rules)
        self.states: list[EngineState] = []
        self._changed = asyncio.Event()
        self.delegate.start(loads.adopt, self._note)

    def _note(self) -> None:
        self.states.append(self.delegate.status.state)
        self._changed.set()

    async def until(self, state: EngineState, num_restarts: int = 0) -> None:
        while (self.delegate.status.state, self.delegate.status.num_restarts) != (
            state,
            num_restarts,
        ):
            self._changed.clear()
            await self._changed.wait()


def never_passed() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


def hanging() -> ScriptedBackend:
    return ScriptedBackend(counting, gate=never_passed)


async def outcome_of(delegate: Delegate) -> str:
    try:
        async for _ in delegate.generate(REQUEST):
            pass
    except EngineFailed as error:
        return str(error)
    return "answered"


async def test_a_dead_engine_is_loaded_again_and_the_next_request_is_answered() -> None:
    life = Life(Loads())
    await life.until(EngineState.READY)
    live = life.delegate.generate(REQUEST)
    await anext(live)
    life.loads.backends[0].fail("the engine died")
    with pytest.raises(EngineFailed, match="the engine died"):
        [step async for step in live]
    await life.until(EngineState.READY, num_restarts=1)
    assert life.states == [EngineState.READY, EngineState.LOADING, EngineState.READY]
    assert life.loads.num_adopted == len(life.loads.backends) == 2
    assert life.delegate.status.reason is None
    assert await outcome_of(life.delegate) == "answered"
    await life.delegate.close()


async def test_while_it_is_loaded_again_it_says_why_and_takes_nothing() -> None:
    rules = RestartRules(max_restarts=1, first_delay_s=1000, longest_delay_s=1000)
    life = Life(Loads(), rules)
    await life.until(EngineState.READY)
    life.loads.backends[0].fail("the engine died")
    await life.until(EngineState.LOADING)
    assert life.delegate.status.reason == "the engine died; it is loaded again"
    with pytest.raises(EngineUnavailable, match="is loading: the engine died"):
        await anext(life.delegate.generate(REQUEST))
    await life.delegate.close()
    assert life.states[-2:] == [EngineState.DRAINING, EngineState.CLOSED]
    assert len(life.loads.backends) == 1


async def test_an_engine_that_dies_too_often_in_a_row_is_given_up() -> None:
    life = Life(Loads())
    for count in range(RULES.max_restarts + 1):
        await life.until(EngineState.READY, num_restarts=count)
        life.loads.backends[-1].fail(f"death {count}")
    assert await life.delegate.given_up() == "death 3"
    assert life.delegate.status.state is EngineState.FAILED
    assert len(life.loads.backends) == RULES.max_restarts + 1
    await life.delegate.close()


async def test_an_engine_that_can_not_be_loaded_again_is_given_up() -> None:
    life = Life(Loads(first_failure=1))
    await life.until(EngineState.READY)
    life.loads.backends[0].fail("the engine died")
    assert await life.delegate.given_up() == "the model file is gone"
    assert life.delegate.status.state is EngineState.FAILED
    assert life.delegate.status.num_restarts == 0
    await life.delegate.close()


async def test_a_first_load_that_fails_is_not_tried_again() -> None:
    life = Life(Loads(first_failure=0))
    giving_up = asyncio.create_task(life.delegate.given_up())
    await life.until(EngineState.FAILED)
    await asyncio.sleep(0)
    assert not giving_up.done()
    giving_up.cancel()
    await life.delegate.close()


async def test_without_restarts_a_death_is_final() -> None:
    life = Life(Loads(), RestartRules())
    await life.until(EngineState.READY)
    life.loads.backends[0].fail("the engine died")
    assert await life.delegate.given_up() == "the engine died"
    await life.delegate.close()


async def test_closing_while_it_is_loaded_again_leaves_no_engine_started() -> None:
    loads = Loads()
    is_opening = asyncio.Event()

    async def open_backend(report: Callable[[LoadProgress], None]) -> Backend:
        if loads.backends:
            is_opening.set()
            await never_passed()
        return await loads.open(report)

    delegate = Delegate("scripted", open_backend, RULES)
    is_ready = asyncio.Event()
    delegate.start(loads.adopt, is_ready.set)
    await is_ready.wait()
    loads.backends[0].fail("the engine died")
    await is_opening.wait()
    await delegate.close()
    assert delegate.status.state is EngineState.CLOSED
    assert len(loads.backends) == 1


def test_an_engine_that_makes_no_step_counts_as_dead() -> None:
    async def work() -> None:
        life = Life(Loads(hanging), STALLING)
        await life.until(EngineState.READY)
        began = now()
        outcomes = await asyncio.gather(*(outcome_of(life.delegate) for _ in range(3)))
        assert set(outcomes) == {"the engine made no step for 300 s while it had work"}
        assert 300 <= now() - began <= 375
        await life.until(EngineState.READY, num_restarts=1)
        await life.delegate.close()

    run(work())


def test_what_can_not_be_ended_while_it_hangs_is_given_up_at_once() -> None:
    async def work() -> None:
        life = Life(Loads(hanging), STALLING)
        await life.until(EngineState.READY)
        life.loads.backends[0].can_be_abandoned = False
        assert "made no step" in await outcome_of(life.delegate)
        assert "made no step" in await life.delegate.given_up()
        assert len(life.loads.backends) == 1
        await life.delegate.close()

    run(work())


def test_an_engine_that_goes_on_slowly_or_has_nothing_to_do_is_left_alone() -> None:
    def gate() -> asyncio.Future[None]:
        opening = never_passed()
        asyncio.get_running_loop().call_later(290, opening.set_result, None)
        return opening

    async def work() -> None:
        life = Life(Loads(lambda: ScriptedBackend(counting, gate=gate)), STALLING)
        await life.until(EngineState.READY)
        assert await outcome_of(life.delegate) == "answered"
        await asyncio.sleep(10_000)
        assert await outcome_of(life.delegate) == "answered"
        assert life.states == [EngineState.READY]
        await life.delegate.close()

    run(work())


def test_pauses_double_up_to_the_longest_and_differ() -> None:
    rules = RestartRules(max_restarts=10_000, first_delay_s=1, longest_delay_s=60)
    restarts = Restarts(rules)
    delays = [restarts.next_delay() or 0 for _ in range(2000)]
    for number, delay_s in enumerate(delays):
        longest = min(2.0 ** min(number, 60), 60)
        assert longest / 2 <= delay_s <= longest
    assert len(set(delays)) > 1000


def test_a_good_while_of_readiness_begins_a_new_row() -> None:
    restarts = Restarts(RestartRules(max_restarts=1, longest_delay_s=60))
    assert restarts.next_delay() is not None
    restarts.forget_row(ready_s=59)
    assert restarts.next_delay() is None
    restarts.forget_row(ready_s=60)
    assert restarts.next_delay() is not None
