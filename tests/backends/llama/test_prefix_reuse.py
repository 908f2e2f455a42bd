"""What is computed once is not computed again: which prefixes are shared, kept, and given up."""

from dataclasses import replace

from backends.llama.limits import Limits
from backends.llama.sequence import Arrival
from tests.backends.llama.simulated_cache import Simulator

LIMITS = Limits(num_cells=512, max_running=8, batch_tokens=64, prefill_tokens=64)
SHARED = tuple(range(100, 200))


def cached(simulator: Simulator, arrival: Arrival) -> int:
    """Serves one request alone; how many of its ids were reused."""
    simulator.submit(arrival)
    before = simulator.num_computed
    simulator.drain()
    total = len(arrival.prompt_ids) + arrival.max_tokens - 1
    return total - (simulator.num_computed - before)


def test_a_prompt_begun_before_is_computed_from_where_it_differs() -> None:
    simulator = Simulator(LIMITS)
    assert cached(simulator, Arrival(0, (*SHARED, 1, 2), 1)) == 0
    assert cached(simulator, Arrival(1, (*SHARED, 3, 4), 1)) == 100
    assert cached(simulator, Arrival(2, (*SHARED[:37], 9), 1)) == 37


def test_the_same_prompt_again_computes_its_last_id_alone() -> None:
    simulator = Simulator(LIMITS)
    cached(simulator, Arrival(0, SHARED, 1))
    assert cached(simulator, Arrival(1, SHARED, 1)) == 99


def test_a_conversation_goes_on_from_its_last_answer() -> None:
    simulator = Simulator(LIMITS)
    cached(simulator, Arrival(0, SHARED, 10))
    turn = (*SHARED, *simulator.outputs[0], 7, 7)
    assert cached(simulator, Arrival(1, turn, 5)) == 109  # the last id of an answer is not computed


def test_other_salts_share_nothing() -> None:
    simulator = Simulator(LIMITS)
    cached(simulator, Arrival(0, SHARED, 1))
    assert cached(simulator, Arrival(1, SHARED, 1, salt="a")) == 0
    assert cached(simulator, Arrival(2, SHARED, 1, salt="b")) == 0
    assert cached(simulator, Arrival(3, SHARED, 1, salt="a")) == 99


def test_requests_that_come_together_wait_for_the_prefix_that_one_of_them_computes() -> None:
    simulator = Simulator(LIMITS)
    for key in range(8):
        simulator.submit(Arrival(key, (*SHARED, key, key, key), 1))
    simulator.drain()
    assert simulator.num_computed == 103 + 7 * 3
    assert sorted(simulator.finished) == list(range(8))


def test_those_that_wait_go_on_when_the_one_they_wait_for_is_aborted() -> None:
    simulator = Simulator(LIMITS)
    for key in range(4):
        simulator.submit(Arrival(key, (*SHARED, key), 1))
    simulator.step()
    assert simulator.scheduler.num_waiting == 3
    simulator.abort(0)
    simulator.drain()
    assert sorted(simulator.finished) == [1, 2, 3]
    assert simulator.num_computed == 103  # the 64 ids of the aborted one were not lost


def test_unrelated_requests_pass_those_that_wait_for_a_prefix() -> None:
    simulator = Simulator(LIMITS)
    for key in range(2):
        simulator.submit(Arrival(key, (*SHARED, key), 1))
    simulator.submit(Arrival(2, (1, 2, 3), 1))
    simulator.step()
    assert simulator.first_tokens == [2]


def test_choices_of_one_prompt_compute_it_once() -> None:
    simulator = Simulator(LIMITS)
    for key in range(4):
        simulator.submit(Arrival(key, SHARED, 5))
    simulator.drain()
    assert simulator.num_computed == 100 + 3 + 4 * 4


def test_two_that_computed_the_same_keep_one_copy() -> None:
    simulator = Simulator(LIMITS)
    for key in range(2):
        simulator.submit(Arrival(key, (1, 2, 3), 20))
    simulator.drain()
    assert simulator.outputs[0] == simulator.outputs[1]
    assert simulator.scheduler.kv.num_cached == 3 + 19


def test_what_was_used_least_recently_goes_first_and_from_its_end() -> None:
    simulator = Simulator(replace(LIMITS, num_cells=256))
    first, second = tuple(range(1000, 1100)), tuple(range(2000, 2100))
    cached(simulator, Arrival(0, first, 1))
    cached(simulator, Arrival(1, second, 1))
    cached(simulator, Arrival(2, first, 1))
    assert cached(simulator, Arrival(3, tuple(range(3000, 3116)), 1)) == 0  # 60 cells too many
    assert cached(simulator, Arrival(4, first, 1)) == 99
    # 60 cells went, and one more while the last id of the fifth was computed again.
    assert cached(simulator, Arrival(5, second[:50], 1)) == 39


def test_the_end_of_an_old_answer_goes_before_the_prefix_that_is_still_used() -> None:
    simulator = Simulator(replace(LIMITS, num_cells=256))
    cached(simulator, Arrival(0, (*SHARED, *range(50)), 1))
    cached(simulator, Arrival(1, (*SHARED, 999), 1))
    cached(simulator, Arrival(2, tuple(range(3000, 3140)), 1))
    assert cached(simulator, Arrival(3, (*SHARED, 999), 1)) == 100


def test_a_prefix_in_use_stays_however_full_the_cache_is() -> None:
    simulator = Simulator(replace(LIMITS, num_cells=160))
    cached(simulator, Arrival(0, SHARED, 1))
    simulator.submit(Arrival(1, (*SHARED, 5), 40))
    simulator.step()
    simulator.submit(Arrival(2, tuple(range(3000, 3030)), 20))
    simulator.drain()
    assert simulator.finished == [0, 1, 2]


def test_more_prefixes_than_slots_give_up_the_oldest() -> None:
    simulator = Simulator(replace(LIMITS, max_running=2))
    for key in range(20):
        cached(simulator, Arrival(key, (key, key + 1, key + 2), 1))
    assert simulator.scheduler.kv.num_cached == 6 * 3


def test_a_memory_that_shares_nothing_is_never_asked_to() -> None:
    simulator = Simulator(replace(LIMITS, reuse=False))
    for key in range(3):
        assert cached(simulator, Arrival(key, SHARED, 4)) == 0
    assert simulator.scheduler.kv.num_cached == 0
