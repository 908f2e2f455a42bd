"""The pure scheduler under thousands of random workloads, and its rules one by one."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.llama.scheduler import Scheduler, StepPlan, Work


@dataclass
class Simulator:
    """A KV cache that believes nothing: it checks every plan against what it holds."""

    num_cells: int
    num_slots: int
    batch_tokens: int
    cells: dict[int, list[int]] = field(default_factory=dict)
    wanted: dict[int, int] = field(default_factory=dict)
    prompts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    outputs: dict[int, list[int]] = field(default_factory=dict)
    finished: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(
            num_cells=self.num_cells, num_slots=self.num_slots, batch_tokens=self.batch_tokens
        )

    def submit(self, key: int, num_prompt: int, max_tokens: int) -> None:
        self.prompts[key] = tuple(key * 1000 + i for i in range(num_prompt))
        self.wanted[key] = max_tokens
        self.outputs[key] = []
        self.scheduler.submit(key, self.prompts[key], max_tokens)

    def step(self) -> StepPlan:
        plan = self.scheduler.plan()
        self.scheduler.check()
        for slot in plan.freed_slots:
            self.cells.pop(slot, None)
        assert plan.num_tokens <= self.batch_tokens
        for work in plan.work:
            self._compute(work)
        assert sum(map(len, self.cells.values())) <= self.num_cells
        for work in plan.work:
            if work.wants_logits:
                self._accept(work.key)
        return plan

    def _compute(self, work: Work) -> None:
        held = self.cells.setdefault(work.slot, [])
        assert 0 <= work.slot < self.num_slots
        assert work.start == len(held), "positions follow what the slot holds"
        held.extend(work.token_ids)
        known = [*self.prompts[work.key], *self.outputs[work.key]]
        assert held == known[: len(held)], "a slot holds the ids of one sequence, in order"
        assert work.wants_logits == (len(held) == len(known))

    def _accept(self, key: int) -> None:
        token_id = -len(self.outputs[key]) - 1
        self.outputs[key].append(token_id)
        if self.scheduler.accept(key, token_id) == self.wanted[key]:
            self.scheduler.release(key)
            self.finished.append(key)

    def drain(self, limit: int = 100_000) -> int:
        steps = 0
        while self.scheduler.has_work:
            self.step()
            steps += 1
            assert steps < limit, "every admitted sequence must end"
        self.scheduler.check()
        return steps


@st.composite
def workloads(draw: st.DrawFn) -> tuple[Simulator, list[tuple[str, int, int]]]:
    num_slots = draw(st.integers(1, 6))
    num_cells = draw(st.integers(4, 64))
    simulator = Simulator(num_cells, num_slots, draw(st.integers(num_slots, 24)))
    actions = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["submit", "step", "abort"]),
                st.integers(1, num_cells),
                st.integers(1, num_cells),
            ),
            max_size=60,
        )
    )
    return simulator, actions


@settings(max_examples=600, deadline=None, derandomize=True)
@given(workloads())
def test_every_sequence_ends_exactly_once_whatever_comes(
    workload: tuple[Simulator, list[tuple[str, int, int]]],
) -> None:
    simulator, actions = workload
    aborted: set[int] = set()
    next_key = 0
    for action, first, second in actions:
        if action == "submit":
            num_prompt = min(first, simulator.num_cells)
            max_tokens = min(second, simulator.num_cells - num_prompt + 1)
            simulator.submit(next_key, num_prompt, max_tokens)
            next_key += 1
        elif action == "step":
            simulator.step()
        elif next_key and simulator.scheduler.release(first % next_key):
            aborted.add(first % next_key)
    simulator.drain()
    assert sorted([*simulator.finished, *aborted]) == list(range(next_key))
    for key in simulator.finished:
        assert len(simulator.outputs[key]) == simulator.wanted[key]


def test_ten_thousand_short_requests_all_end_in_order_of_arrival() -> None:
    simulator = Simulator(num_cells=2048, num_slots=32, batch_tokens=256)
    for key in range(10_000):
        simulator.submit(key, 3, 2)
    simulator.drain()
    assert simulator.finished == sorted(simulator.finished)
    assert len(simulator.finished) == 10_000


@pytest.mark.parametrize("num_prompt", [1, 255, 256])
def test_a_prompt_of_one_token_or_of_the_whole_cache_is_served(num_prompt: int) -> None:
    simulator = Simulator(num_cells=256, num_slots=2, batch_tokens=32)
    simulator.submit(0, num_prompt, 257 - num_prompt)
    simulator.drain()
    assert len(simulator.outputs[0]) == 257 - num_prompt


def test_a_request_beyond_the_cache_is_refused_at_once() -> None:
    scheduler = Scheduler(num_cells=16, num_slots=1, batch_tokens=8)
    with pytest.raises(ValueError, match="exceed 16 cells"):
        scheduler.submit(0, (1,) * 10, 8)


def test_running_sequences_decode_in_every_step_of_a_long_prompt() -> None:
    simulator = Simulator(num_cells=512, num_slots=4, batch_tokens=16)
    simulator.submit(0, 4, 40)
    simulator.step()
    simulator.submit(1, 200, 4)
    for _ in range(10):
        plan = simulator.step()
        assert [work.key for work in plan.work] == [0, 1]
        assert plan.num_tokens == 16


def test_the_youngest_gives_way_when_the_cache_is_full_and_ends_all_the_same() -> None:
    simulator = Simulator(num_cells=32, num_slots=4, batch_tokens=32)
    for key in range(3):
        simulator.submit(key, 8, 20)
    simulator.drain()
    assert simulator.scheduler.num_preemptions > 0
    assert simulator.finished == [0, 1, 2]


def test_release_of_an_unknown_sequence_says_so() -> None:
    assert Scheduler(num_cells=4, num_slots=1, batch_tokens=1).release(7) is False


def test_a_batch_smaller_than_the_slots_is_refused() -> None:
    with pytest.raises(ValueError, match="can't decode 4 sequences"):
        Scheduler(num_cells=4, num_slots=4, batch_tokens=3)
