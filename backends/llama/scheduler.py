"""Decides what the next step computes. Pure: integers in, a plan out; no clock, no native code.

A step decodes one id of every running sequence first, then takes prompt chunks in order of arrival
up to the budget. When the KV cache is full the youngest sequence loses its cells and is computed
again later; the oldest always advances, so every admitted sequence ends.
"""

from dataclasses import dataclass

from backends.llama.cells import CellLedger
from backends.llama.sequence import Phase, Sequence


@dataclass(frozen=True, slots=True)
class Work:
    """Compute `token_ids` at positions `start`… of `slot`; `wants_logits` for the last of them."""

    key: int
    slot: int
    start: int
    token_ids: tuple[int, ...]
    wants_logits: bool


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Clear the KV cells of `freed_slots` first, then compute all `work` in one batch."""

    freed_slots: tuple[int, ...]
    work: tuple[Work, ...]

    @property
    def num_tokens(self) -> int:
        return sum(len(item.token_ids) for item in self.work)


class Scheduler:
    """Owns every live sequence. A sequence never needs more cells than the whole cache has."""

    def __init__(self, *, num_cells: int, num_slots: int, batch_tokens: int) -> None:
        if batch_tokens < num_slots:
            raise ValueError(f"a batch of {batch_tokens} can't decode {num_slots} sequences")
        self._cells = CellLedger(num_cells=num_cells, num_slots=num_slots)
        self._batch_tokens = batch_tokens
        self._waiting: list[Sequence] = []
        self._admitted: list[Sequence] = []  # oldest first
        self._by_key: dict[int, Sequence] = {}
        self._freed_slots: list[int] = []
        self._planned: dict[int, Work] = {}
        self._budget_left = batch_tokens
        self.num_preemptions = 0

    @property
    def has_work(self) -> bool:
        return bool(self._by_key) or bool(self._freed_slots)

    @property
    def num_running(self) -> int:
        return len(self._admitted)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def submit(self, key: int, prompt_ids: tuple[int, ...], max_tokens: int) -> None:
        """Keys grow with arrival and are never reused."""
        if len(prompt_ids) + max_tokens - 1 > self._cells.num_cells:
            raise ValueError(
                f"{len(prompt_ids)} + {max_tokens} tokens exceed {self._cells.num_cells} cells"
            )
        sequence = Sequence(key, list(prompt_ids))
        self._by_key[key] = sequence
        self._waiting.append(sequence)

    def release(self, key: int) -> bool:
        """Drops a finished or aborted sequence; its slot is cleared by the next plan."""
        sequence = self._by_key.pop(key, None)
        if sequence is None:
            return False
        if sequence.slot is None:
            self._waiting.remove(sequence)
        else:
            self._admitted.remove(sequence)
            self._free(sequence)
        return True

    def accept(self, key: int, token_id: int) -> int:
        """Appends a generated id to a live sequence; returns how many it has generated."""
        sequence = self._by_key[key]
        assert sequence.num_pending == 0, (key, sequence.num_pending)
        sequence.token_ids.append(token_id)
        return sequence.num_output

    def plan(self) -> StepPlan:
        """Decides a step and takes its cells; the caller must run it before asking again."""
        self._planned, self._budget_left = {}, self._batch_tokens
        self._plan_decodes()
        self._plan_prefills()
        self._admit_waiting()
        freed, self._freed_slots = tuple(self._freed_slots), []
        for work in self._planned.values():
            self._by_key[work.key].num_computed += len(work.token_ids)
        return StepPlan(freed, tuple(self._planned.values()))

    def check(self) -> None:
        """Asserts the invariants; when nothing is live, that every cell and slot came back."""
        self._cells.check()
        keys = [s.key for s in self._admitted]
        assert keys == sorted(keys)
        assert len(self._admitted) + len(self._waiting) == len(self._by_key)
        assert bool(self._by_key) or self._cells.is_idle

    def _plan_decodes(self) -> None:
        for sequence in tuple(self._admitted):
            if sequence.phase is Phase.DECODE and self._make_room(1, sequence):
                self._add(sequence, 1)

    def _plan_prefills(self) -> None:
        for sequence in tuple(self._admitted):
            if sequence.phase is Phase.PREFILL and self._budget_left:
                length = min(sequence.num_pending, self._budget_left)
                if self._make_room(length, sequence):
                    self._add(sequence, min(length, self._budget_left))

    def _admit_waiting(self) -> None:
        """First come, first served: one that doesn't fit holds back those behind it."""
        while self._waiting and self._budget_left and self._cells.has_free_slot:
            sequence = self._waiting[0]
            if self._num_spare < sequence.num_pending:
                return
            self._waiting.pop(0)
            sequence.slot = self._cells.acquire_slot()
            self._admitted.append(sequence)
            self._admitted.sort(key=lambda s: s.key)
            self._add(sequence, min(sequence.num_pending, self._budget_left))

    @property
    def _num_spare(self) -> int:
        """Free cells less those that sequences in prefill are still going to take."""
        owed = sum(
            s.num_pending - (len(w.token_ids) if (w := self._planned.get(s.key)) else 0)
            for s in self._admitted
        )
        return self._cells.num_free - owed

    def _make_room(self, num_cells: int, sequence: Sequence) -> bool:
        """Preempts the youngest until the cells are there; False if that was `sequence` itself."""
        while sequence.slot is not None and self._cells.num_free < num_cells:
            self._preempt(self._admitted[-1])
        return sequence.slot is not None

    def _preempt(self, sequence: Sequence) -> None:
        planned = self._planned.pop(sequence.key, None)
        self._budget_left += len(planned.token_ids) if planned else 0
        self._admitted.remove(sequence)
        self._free(sequence)
        sequence.num_computed = 0
        self._waiting.insert(0, sequence)
        self.num_preemptions += 1

    def _free(self, sequence: Sequence) -> None:
        assert sequence.slot is not None
        self._cells.release_slot(sequence.slot)
        self._freed_slots.append(sequence.slot)
        sequence.slot = None

    def _add(self, sequence: Sequence, length: int) -> None:
        assert sequence.slot is not None
        self._cells.take(sequence.slot, length)
        self._budget_left -= length
        start = sequence.num_computed
        self._planned[sequence.key] = Work(
            key=sequence.key,
            slot=sequence.slot,
            start=start,
            token_ids=tuple(sequence.token_ids[start : start + length]),
            wants_logits=start + length == len(sequence.token_ids),
        )
