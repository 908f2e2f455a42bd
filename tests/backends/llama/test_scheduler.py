"""The pure scheduler under thousands of random workloads, and its rules one by one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.llama.limits import Limits
from backends.llama.scheduler import Scheduler
from backends.llama.sequence import Arrival
from tests.backends.llama.simulated_cache import Simulator

SMALL = Limits(num_cells=256, max_running=4, batch_tokens=32, prefill_tokens=32)


def distinct(key: int, length: int) -> tuple[int, ...]:
    """A prompt that shares nothing with any other."""
    return tuple(1000 * (key + 1) + i for i in range(length))


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    max_running = draw(st.integers(1, 5))
    num_cells = draw(st.integers(4, 64))
    return Limits(
        num_cells=num_cells,
        slot_cells=draw(st.sampled_from([None, None, num_cells])),
        max_running=max_running,
        batch_tokens=draw(st.integers(max_running, 24)),
        prefill_tokens=draw(st.integers(1, 24)),
        reuse=draw(st.sampled_from([True, True, False])),
        max_drafting=draw(st.integers(0, 3)),
        max_idle=draw(st.integers(0, 30)),
        max_parked=draw(st.sampled_from([0, 40, 1000])),
        max_scored=draw(st.sampled_from([1, 3, 1000])),
    )


@st.composite
def workloads(draw: st.DrawFn) -> tuple[Limits, list[tuple[str, Arrival | int]]]:
    """Prompts over two ids, many of them the start of another: the tree splits, joins and grows."""
    chosen = draw(limits())
    base = draw(st.lists(st.integers(0, 1), min_size=chosen.num_cells, max_size=chosen.num_cells))
    actions: list[tuple[str, Arrival | int]] = []
    for key in range(draw(st.integers(1, 25))):
        kept = draw(st.integers(0, chosen.num_cells))
        fresh = draw(st.lists(st.integers(0, 1), max_size=chosen.num_cells))
        prompt = tuple([*base[:kept], *fresh, 1][: draw(st.integers(1, chosen.num_cells))])
        most = chosen.num_cells - len(prompt) + 1
        is_scored = draw(st.sampled_from([False, False, False, True]))
        arrival = Arrival(
            key,
            prompt,
            draw(st.integers(1, most)),
            priority=draw(st.sampled_from([0, 0, 0, -1, 1])),
            salt=("scored", key) if is_scored else draw(st.sampled_from([None, None, "a"])),
            scores_prompt=is_scored,
            can_draft=draw(st.booleans()),
        )
        actions.append(("submit", arrival))
        for _ in range(draw(st.integers(0, 4))):
            actions.append(("step", 0))
        if draw(st.integers(0, 4)) == 0:
            actions.append(("abort", draw(st.integers(0, key))))
    return chosen, actions


@pytest.mark.timeout(120)
@settings(max_examples=600, deadline=None, derandomize=True)
@given(workloads())
def test_every_sequence_ends_exactly_once_with_the_models_answer_whatever_comes(
    workload: tuple[Limits, list[tuple[str, Arrival | int]]],
) -> None:
    chosen, actions = workload
    simulator = Simulator(chosen)
    aborted: set[int] = set()
    for action, what in actions:
        if isinstance(what, Arrival):
            simulator.submit(what)
        elif action == "step":
            simulator.step()
        elif simulator.abort(what):
            aborted.add(what)
    simulator.drain()
    assert sorted([*simulator.finished, *aborted]) == sorted(simulator.arrivals)
    for key in simulator.finished:
        assert simulator.outputs[key] == simulator.expected(key)


def test_ten_thousand_short_requests_all_end_in_order_of_arrival() -> None:
    chosen = Limits(num_cells=2048, max_running=32, batch_tokens=256, prefill_tokens=256)
    scheduler = Scheduler(chosen)
    for key in range(10_000):
        scheduler.submit(Arrival(key, distinct(key, 3), 2))
    finished: list[int] = []
    while scheduler.has_work:
        for work in scheduler.plan().work:
            if work.num_rows and scheduler.accept(work.key, [1]) == 2:
                scheduler.release(work.key)
                finished.append(work.key)
        scheduler.check()
    assert finished == list(range(10_000))


@pytest.mark.parametrize("num_prompt", [1, 255, 256])
def test_a_prompt_of_one_token_or_of_the_whole_cache_is_served(num_prompt: int) -> None:
    simulator = Simulator(SMALL)
    for key in range(3):  # the third meets the whole of the first two in the cache
        simulator.submit(Arrival(key, distinct(key, num_prompt), 257 - num_prompt))
        simulator.drain()
    simulator.submit(Arrival(3, distinct(0, num_prompt), 257 - num_prompt))
    simulator.drain()
    assert [len(simulator.outputs[key]) for key in range(4)] == [257 - num_prompt] * 4


def test_a_batch_is_filled_to_the_last_token() -> None:
    simulator = Simulator(SMALL)
    simulator.submit(Arrival(0, distinct(0, 100), 1))
    assert [simulator.step().num_tokens for _ in range(4)] == [32, 32, 32, 4]


def test_a_request_beyond_the_cache_is_refused_at_once() -> None:
    scheduler = Scheduler(replace(SMALL, num_cells=16))
    with pytest.raises(ValueError, match="exceed 16 cells"):
        scheduler.submit(Arrival(0, (1,) * 10, 8))


def test_running_sequences_decode_in_every_step_of_a_long_prompt_within_the_budget() -> None:
    simulator = Simulator(replace(SMALL, num_cells=512, prefill_tokens=12))
    simulator.submit(Arrival(0, distinct(0, 4), 40))
    simulator.step()
    simulator.submit(Arrival(1, distinct(1, 200), 4))
    for _ in range(10):
        plan = simulator.step()
        assert [work.key for work in plan.work] == [0, 1]
        assert [len(work.token_ids) for work in plan.work] == [1, 12]


def test_short_prompts_do_not_wait_for_a_long_one_nor_does_it_starve() -> None:
    simulator = Simulator(SMALL)
    simulator.submit(Arrival(0, distinct(0, 200), 1))
    simulator.step()
    for key in (1, 2, 3):
        simulator.submit(Arrival(key, distinct(key, 8), 1))
    plan = simulator.step()
    assert {work.key: len(work.token_ids) for work in plan.work} == {0: 16, 1: 8, 2: 8}
    simulator.drain()
    assert simulator.first_tokens == [1, 2, 3, 0]


def test_the_lower_priority_number_goes_first_among_those_that_wait() -> None:
    simulator = Simulator(replace(SMALL, max_running=1))
    simulator.submit(Arrival(0, distinct(0, 4), 4))
    simulator.step()
    for key, priority in ((1, 0), (2, 5), (3, -5), (4, 0)):
        simulator.submit(Arrival(key, distinct(key, 4), 4, priority=priority))
    simulator.drain()
    assert simulator.finished == [0, 3, 1, 4, 2]


def test_the_youngest_gives_way_when_the_cache_is_full_and_ends_all_the_same() -> None:
    simulator = Simulator(replace(SMALL, num_cells=32))
    for key in range(3):
        simulator.submit(Arrival(key, distinct(key, 8), 20))
    simulator.drain()
    assert simulator.scheduler.num_preemptions > 0
    assert simulator.finished == [0, 1, 2]


def test_one_that_gave_way_goes_on_from_what_is_left_of_it() -> None:
    simulator = Simulator(replace(SMALL, num_cells=64, batch_tokens=64, prefill_tokens=64))
    simulator.submit(Arrival(0, distinct(0, 16), 33))
    simulator.submit(Arrival(1, distinct(1, 30), 2))
    simulator.drain()
    computed_alone = 16 + 32 + 30 + 1
    assert simulator.num_computed < computed_alone + 10


def test_release_of_an_unknown_sequence_says_so() -> None:
    assert Scheduler(SMALL).release(7) is False


def test_limits_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="can't decode 4 sequences"):
        replace(SMALL, batch_tokens=3)
    with pytest.raises(ValueError, match="computes no prompt"):
        replace(SMALL, prefill_tokens=0)
