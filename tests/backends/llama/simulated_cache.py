"""A KV cache that believes nothing: it checks every step against what its cells really hold."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from backends.llama.limits import Limits
from backends.llama.plan import (
    Copy,
    Discard,
    Drop,
    MemoryOperation,
    Park,
    Restore,
    Share,
    Span,
    StepPlan,
    Work,
)
from backends.llama.scheduler import Scheduler
from backends.llama.sequence import Arrival


def next_id(token_ids: list[int]) -> int:
    """A model: what follows depends on the last ids, and comes in circles, as drafts like it."""
    return (7 * token_ids[-1] + 3 * len(token_ids) // 5 + sum(token_ids[-3:])) % 5


@dataclass(eq=False)
class Cell:
    """One computed id. `history` is all it was computed from, itself last."""

    history: tuple[int, ...]
    slots: set[int]

    @property
    def position(self) -> int:
        return len(self.history) - 1


@dataclass
class Simulator:
    """Runs a scheduler's plans on cells of its own, and generates with `next_id`."""

    limits: Limits
    model: Callable[[list[int]], int] = next_id
    cells: list[Cell] = field(default_factory=list)
    arrivals: dict[int, Arrival] = field(default_factory=dict)
    outputs: dict[int, list[int]] = field(default_factory=dict)
    finished: list[int] = field(default_factory=list)
    first_tokens: list[int] = field(default_factory=list)
    scored: dict[int, set[int]] = field(default_factory=dict)
    num_computed: int = 0
    num_restored: int = 0
    parked: dict[Span, list[tuple[int, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.limits)

    def submit(self, arrival: Arrival) -> None:
        self.arrivals[arrival.key] = arrival
        self.outputs[arrival.key] = []
        self.scored[arrival.key] = set()
        self.scheduler.submit(arrival)

    def step(self) -> StepPlan:
        plan = self.scheduler.plan()
        self.scheduler.check()
        self.scheduler.kv.check_prefixes()
        for operation in plan.operations:
            self._apply(operation)
        assert plan.num_tokens <= self.limits.batch_tokens
        assert len({work.slot for work in plan.work}) == len(plan.work)
        for work in plan.work:
            self._compute(work)
        num_scored = sum(work.num_logits for work in plan.work if work.scores_all)
        assert num_scored <= self.limits.max_scored
        kv = self.scheduler.kv
        assert len(self.cells) == kv.num_cells - kv.num_free <= kv.num_cells
        assert sum(span.num_tokens for span in self.parked) == kv.num_parked
        for work in plan.work:
            if work.num_rows:
                self._accept(work)
        return plan

    def abort(self, key: int) -> bool:
        return self.scheduler.release(key)

    def drain(self, limit: int = 100_000) -> int:
        steps = 0
        while self.scheduler.has_work:
            self.step()
            steps += 1
            assert steps < limit, "every admitted sequence must end"
        self.scheduler.check()
        return steps

    def expected(self, key: int) -> list[int]:
        """What the model generates alone."""
        arrival = self.arrivals[key]
        ids = list(arrival.prompt_ids)
        for _ in range(arrival.max_tokens):
            ids.append(self.model(ids))
        return ids[len(arrival.prompt_ids) :]

    def _apply(self, operation: MemoryOperation) -> None:
        if isinstance(operation, Drop):
            assert self.limits.reuse or operation.start == 0, "this memory drops no suffix"
            end = operation.end if operation.end is not None else self.scheduler.kv.num_cells
            for cell in self._held(operation.slot, operation.start, end):
                cell.slots.remove(operation.slot)
            self.cells = [cell for cell in self.cells if cell.slots]
        elif isinstance(operation, Share):
            self._share(operation)
        elif isinstance(operation, Copy):
            self._copy(operation)
        elif isinstance(operation, Park):
            self._park(operation)
        elif isinstance(operation, Restore):
            self._restore(operation)
        else:
            assert isinstance(operation, Discard)
            del self.parked[operation.span]

    def _share(self, operation: Share) -> None:
        assert self.limits.reuse, "this memory shares no cells"
        assert not self.limits.slot_cells, "slots with cells of their own share none"
        shared = list(self._held(operation.source, operation.start, operation.end))
        positions = sorted(cell.position for cell in shared)
        assert positions == list(range(operation.start, operation.end)), "the source holds them"
        for cell in shared:
            assert operation.target not in cell.slots
            cell.slots.add(operation.target)

    def _copy(self, operation: Copy) -> None:
        assert self.limits.slot_cells, "one cache for all shares cells instead"
        assert not list(self._held(operation.target, 0, self.limits.num_cells))
        copied = list(self._held(operation.source, 0, operation.end))
        assert sorted(cell.position for cell in copied) == list(range(operation.end))
        self.cells += [Cell(cell.history, {operation.target}) for cell in copied]

    def _park(self, operation: Park) -> None:
        span = operation.span
        cells = sorted(self._held(operation.slot, span.start, span.end), key=lambda c: c.position)
        assert [cell.position for cell in cells] == list(range(span.start, span.end))
        assert span not in self.parked
        self.parked[span] = [cell.history for cell in cells]

    def _restore(self, operation: Restore) -> None:
        span = operation.span
        if not self.limits.slot_cells:
            assert len(self.cells) + span.num_tokens <= self.limits.num_cells
        assert not list(self._held(operation.slot, operation.start, operation.end))
        for history in self.parked[span][operation.start - span.start : operation.end - span.start]:
            self.cells.append(Cell(history, {operation.slot}))
        self.num_restored += operation.end - operation.start

    def _held(self, slot: int, start: int, end: int) -> Iterable[Cell]:
        return [c for c in self.cells if slot in c.slots and start <= c.position < end]

    def _compute(self, work: Work) -> None:
        assert 0 <= work.slot < self.limits.num_slots
        assert work.token_ids
        known = [*self.arrivals[work.key].prompt_ids, *self.outputs[work.key]]
        held = sorted(self._held(work.slot, 0, self.limits.num_cells), key=lambda c: c.position)
        assert [c.position for c in held] == list(range(work.start)), "positions have no gap"
        for cell in held:
            assert cell.history == tuple(known[: cell.position + 1]), "cells are of these ids"
        certain = work.token_ids[: len(work.token_ids) - len(work.draft)]
        assert list(certain) == known[work.start : work.start + len(certain)]
        assert (work.num_rows > 0) == (work.start + len(certain) == len(known))
        self._score(work)
        for index in range(len(work.token_ids)):
            history = (*known[: work.start], *work.token_ids[: index + 1])
            self.cells.append(Cell(history, {work.slot}))
        most = self.limits.slot_cells or self.limits.num_cells
        assert len(list(self._held(work.slot, 0, most + 1))) <= most
        self.num_computed += len(work.token_ids)

    def _score(self, work: Work) -> None:
        arrival = self.arrivals[work.key]
        last = len(arrival.prompt_ids) - 1
        is_wanted = arrival.scores_prompt and not self.outputs[work.key]
        assert work.scores_all == (is_wanted and work.start < last)
        if work.scores_all:
            assert work.num_logits == len(work.token_ids)
            self.scored[work.key] |= set(range(work.start, work.start + work.num_logits))
        if arrival.scores_prompt and work.num_rows:
            assert self.scored[work.key] >= set(range(last)), "all that precede are scored"

    def _accept(self, work: Work) -> None:
        key, arrival = work.key, self.arrivals[work.key]
        known = [*arrival.prompt_ids, *self.outputs[key]]
        new = [self.model(known)]
        for guess in work.draft:
            if guess != new[-1]:
                break
            new.append(self.model(known + new))
        if not self.outputs[key]:
            self.first_tokens.append(key)
        self.outputs[key] += new
        assert len(self.outputs[key]) <= arrival.max_tokens
        if self.scheduler.accept(key, new) == arrival.max_tokens:
            self.scheduler.release(key)
            self.finished.append(key)
