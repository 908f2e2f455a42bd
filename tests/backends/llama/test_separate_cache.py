"""Slots with cells of their own: what is copied, taken over, parked and restored."""

from dataclasses import replace

from backends.llama.limits import Limits
from backends.llama.plan import Copy, Drop, MemoryOperation, Park, Restore
from backends.llama.sequence import Arrival
from tests.backends.llama.simulated_cache import Simulator

LIMITS = Limits(
    num_cells=2 * 256,
    slot_cells=256,
    max_running=2,
    batch_tokens=64,
    prefill_tokens=64,
    max_parked=1000,
)
SHARED = tuple(range(100, 200))


def served(simulator: Simulator, arrival: Arrival) -> list[MemoryOperation]:
    """Serves one request alone; what the native cache had to do for it."""
    simulator.submit(arrival)
    operations: list[MemoryOperation] = []
    while simulator.scheduler.has_work:
        operations += simulator.step().operations
    assert simulator.outputs[arrival.key] == simulator.expected(arrival.key)
    return operations


def kinds(operations: list[MemoryOperation]) -> list[type]:
    return [type(operation) for operation in operations]


def test_a_conversation_goes_on_in_its_slot_without_a_copy() -> None:
    simulator = Simulator(LIMITS)
    served(simulator, Arrival(0, SHARED, 10))
    before = simulator.num_computed
    turn = (*SHARED, *simulator.outputs[0], 7, 7)
    assert kinds(served(simulator, Arrival(1, turn, 1))) == [Drop]
    assert simulator.num_computed - before == 3


def test_what_a_slot_held_is_parked_and_restored_when_it_is_wanted() -> None:
    simulator = Simulator(replace(LIMITS, max_running=1))
    served(simulator, Arrival(0, SHARED, 1))
    assert kinds(served(simulator, Arrival(1, tuple(range(300, 400)), 1))) == [Park, Drop]
    before = simulator.num_computed
    assert Restore in kinds(served(simulator, Arrival(2, SHARED, 1)))
    assert simulator.num_computed - before == 1


def test_a_running_prefix_is_copied_for_the_next_that_wants_it() -> None:
    simulator = Simulator(LIMITS)
    simulator.submit(Arrival(0, SHARED, 50))
    for _ in range(3):
        simulator.step()
    before = simulator.num_computed
    simulator.submit(Arrival(1, (*SHARED[:60], 1), 1))
    plan = simulator.step()
    assert kinds(list(plan.operations)) == [Copy]
    assert simulator.num_computed - before == 2
    simulator.drain()


def test_few_ids_are_computed_again() -> None:
    simulator = Simulator(LIMITS)
    served(simulator, Arrival(0, SHARED, 1))
    assert Copy not in kinds(served(simulator, Arrival(1, (*SHARED[:15], 1), 1)))
    assert simulator.num_computed == 100 + 16


def test_other_salts_share_nothing() -> None:
    simulator = Simulator(LIMITS)
    served(simulator, Arrival(0, SHARED, 1))
    served(simulator, Arrival(1, SHARED, 1, salt="a"))
    assert simulator.num_computed == 200
    served(simulator, Arrival(2, SHARED, 1, salt="a"))
    assert simulator.num_computed == 201


def test_what_is_parked_beyond_the_limit_goes_least_recently_used_first() -> None:
    simulator = Simulator(replace(LIMITS, max_running=1, max_parked=200))
    prompts = [tuple(range(1000 * k, 1000 * k + 100)) for k in range(1, 5)]
    for key, prompt in enumerate(prompts):
        served(simulator, Arrival(key, prompt, 1))
    assert simulator.scheduler.kv.num_parked == 200
    before = simulator.num_computed
    served(simulator, Arrival(10, prompts[1], 1))
    assert simulator.num_computed - before == 1
    served(simulator, Arrival(11, prompts[0], 1))
    assert simulator.num_computed - before == 101


def test_no_sequence_is_ever_preempted() -> None:
    simulator = Simulator(LIMITS)
    for key in range(4):
        simulator.submit(Arrival(key, tuple(range(1000 * key, 1000 * key + 200)), 57))
    simulator.drain()
    assert simulator.scheduler.num_preemptions == 0
    assert sorted(simulator.finished) == [0, 1, 2, 3]
