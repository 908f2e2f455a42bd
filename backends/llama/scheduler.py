"""Decides what the next step computes. Pure: integers in, a plan out; no clock, no native code.

A step decodes every running sequence first, then takes prompt chunks within a budget. Prefixes that
were computed for others are shared; one that is being computed now is waited for. When the KV cache
is full, prefixes that nobody uses go first, then the youngest sequence gives way and goes on later;
the oldest always advances, so every admitted sequence ends.
"""

from backends.llama.drafting import Drafter
from backends.llama.kv_cache import KvCache
from backends.llama.limits import Limits
from backends.llama.plan import StepPlan, Work
from backends.llama.separate_cache import SeparateCache
from backends.llama.sequence import Arrival, Phase, Sequence
from backends.llama.waiting import WaitingQueue


class Scheduler:
    """Owns every live sequence. A sequence never needs more cells than the whole cache has."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kv = _cache(limits)
        self._waiting = WaitingQueue()
        self._admitted: list[Sequence] = []  # first come first
        self._by_key: dict[int, Sequence] = {}
        self._planned: dict[int, Work] = {}
        self._budget = limits.batch_tokens
        self._num_scorable = limits.max_scored
        self.num_preemptions = 0
        # Ids of prompts that were looked up for reuse, and those of them that were found.
        self.num_looked_up = 0
        self.num_found = 0

    @property
    def has_work(self) -> bool:
        return bool(self._by_key) or self._kv.has_operations

    @property
    def num_running(self) -> int:
        return len(self._admitted)

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def kv(self) -> KvCache | SeparateCache:
        """For its counts; only the scheduler changes it."""
        return self._kv

    def submit(self, arrival: Arrival) -> None:
        """Keys grow with arrival and are never reused. Raises ValueError where it can't fit."""
        if arrival.num_cells > self._kv.capacity:
            raise ValueError(
                f"{len(arrival.prompt_ids)} + {arrival.max_tokens} tokens exceed"
                f" {self._kv.capacity} cells"
            )
        sequence = Sequence(arrival)
        self._by_key[arrival.key] = sequence
        self._waiting.add(sequence)

    def release(self, key: int) -> bool:
        """Drops a finished or aborted sequence; what it computed stays as a prefix for others."""
        sequence = self._by_key.pop(key, None)
        if sequence is None:
            return False
        if sequence.slot is None:
            self._waiting.remove(sequence)
        else:
            self._admitted.remove(sequence)
            self._kv.detach(sequence)
        return True

    def accept(self, key: int, token_ids: list[int]) -> int:
        """Appends generated ids to a live sequence; returns how many it has generated.

        Several where a draft held: all but the last of them are its first ids.
        """
        sequence = self._by_key[key]
        num_drafted = len(self._planned[key].draft)
        num_right = len(token_ids) - 1
        if num_drafted > num_right:
            self._kv.forget(sequence, num_drafted - num_right)
        if num_drafted and sequence.drafter:
            sequence.drafter.learn(num_drafted, num_right)
        sequence.token_ids.extend(token_ids)
        assert sequence.num_pending == 1, (key, sequence.num_pending)
        return sequence.num_output

    def num_cached(self, key: int) -> int:
        """How many ids of a live sequence's prompt were computed before it came."""
        return self._by_key[key].num_cached or 0

    def plan(self) -> StepPlan:
        """Decides a step and takes its cells; the caller must run it before asking again."""
        self._publish_prompts()
        self._planned, self._budget = {}, self._limits.batch_tokens
        self._num_scorable = self._limits.max_scored
        self._plan_decodes()
        self._admit_waiting()
        self._plan_prefills()
        return StepPlan(self._kv.take_operations(), tuple(self._planned.values()))

    def suspects(self) -> list[int]:
        """Keys of those that may have broken what sequences share, without a row of theirs to tell.

        In one cache for all, only those in prefill: it can't be known which of them did.
        """
        if self._limits.slot_cells:
            return []
        return [s.key for s in self._admitted if s.phase is Phase.PREFILL]

    def forget_computed(self) -> None:
        """The native cache was cleared, between two steps: live sequences compute anew."""
        self._kv, self._planned = _cache(self._limits), {}
        for sequence in self._admitted:
            sequence.slot = sequence.node = None
            sequence.num_computed = 0
            self._waiting.add(sequence)
        self._admitted = []

    def check(self) -> None:
        """Asserts the invariants; when nothing is live, that every cell and slot came back."""
        self._kv.check()
        orders = [s.order for s in self._admitted]
        assert orders == sorted(orders)
        assert len(self._admitted) + len(self._waiting) == len(self._by_key)
        if not self._by_key:
            self._kv.check_idle()

    def _publish_prompts(self) -> None:
        """What the last step computed of prompts may be shared from now on."""
        for key, work in self._planned.items():
            sequence = self._by_key.get(key)
            if sequence and sequence.slot is not None and len(work.token_ids) > len(work.draft) + 1:
                self._kv.publish(sequence, work.start + len(work.token_ids))
        self._waiting.release_followers()

    def _plan_decodes(self) -> None:
        decoding = [s for s in self._admitted if s.phase is Phase.DECODE]
        may_draft = self._limits.reuse and len(decoding) <= self._limits.max_drafting
        self._kv.free_up(len(decoding))
        for num_before, sequence in enumerate(decoding):
            if sequence.phase is Phase.DECODE and self._make_room(1, sequence):
                num_spare = self._budget - (len(decoding) - num_before)
                self._add(sequence, 1, self._draft(sequence, num_spare) if may_draft else ())

    def _draft(self, sequence: Sequence, num_spare: int) -> tuple[int, ...]:
        """A guess that costs nobody else a cell, a place in the batch, or a prefix. `num_spare` are
        the places that those who decode leave.
        """
        num_free = self._kv.num_free - self._limits.max_drafting
        limit = min(sequence.num_left - 1, num_free, num_spare, self._budget // 2)
        if limit < 1 or not sequence.arrival.can_draft:
            return ()
        sequence.drafter = sequence.drafter or Drafter()
        return sequence.drafter.propose(sequence.token_ids, limit)

    def _admit_waiting(self) -> None:
        """In order: one that doesn't fit holds back those behind it."""
        if len(self._admitted) == self._limits.max_running:
            return
        for sequence in self._waiting:
            num_matched = self._kv.num_matched(sequence)
            prefilling = [s for s in self._admitted if s.phase is Phase.PREFILL]
            if self._limits.reuse and self._waiting.follow(sequence, prefilling, num_matched):
                continue
            owed = sum(s.num_pending for s in self._admitted if s.key not in self._planned)
            if not self._kv.admit(sequence, owed):
                return
            self._waiting.remove(sequence)
            self._note_reuse(sequence)
            self._admitted.append(sequence)
            self._admitted.sort(key=_order)
            if len(self._admitted) == self._limits.max_running:
                return

    def _note_reuse(self, sequence: Sequence) -> None:
        """Of a sequence that gave way, what it finds again tells nothing of prompts."""
        if sequence.num_cached is not None:
            return
        sequence.num_cached = sequence.num_computed
        if self._limits.reuse and not sequence.arrival.scores_prompt:
            self.num_looked_up += len(sequence.arrival.prompt_ids)
            self.num_found += sequence.num_computed

    def _plan_prefills(self) -> None:
        """Half of the budget for the first that came, the rest for those with the least to do."""
        prefilling = [s for s in self._admitted if s.key not in self._planned]
        if not prefilling:
            return
        if self._planned or len(prefilling) > 1:
            self._budget = min(self._budget, self._limits.prefill_tokens)
        shortest = sorted(prefilling[1:], key=lambda s: (s.num_pending, s.order))
        kept_back = min(prefilling[0].num_pending, -(-self._budget // 2))
        self._budget -= kept_back
        for sequence in shortest:
            self._prefill(sequence)
        self._budget += kept_back
        self._prefill(prefilling[0])

    def _prefill(self, sequence: Sequence) -> None:
        length = min(sequence.num_pending, self._budget)
        if sequence.must_score:
            length = min(length, self._num_scorable)
        if length and sequence.slot is not None and self._make_room(length, sequence):
            self._add(sequence, min(length, self._budget), ())

    def _make_room(self, num_cells: int, sequence: Sequence) -> bool:
        """Preempts the youngest until the cells are there; False if that was `sequence` itself."""
        while sequence.slot is not None and not self._kv.free_up(num_cells):
            self._preempt(self._admitted[-1])
        return sequence.slot is not None

    def _preempt(self, sequence: Sequence) -> None:
        planned = self._planned.pop(sequence.key, None)
        if planned:
            self._budget += len(planned.token_ids)
            self._kv.untake(sequence, len(planned.token_ids))
        self._admitted.remove(sequence)
        self._kv.detach(sequence)
        self._waiting.add(sequence)
        self.num_preemptions += 1

    def _add(self, sequence: Sequence, length: int, draft: tuple[int, ...]) -> None:
        assert sequence.slot is not None
        start = sequence.num_computed
        token_ids = (*sequence.token_ids[start : start + length], *draft)
        is_whole = start + length == len(sequence.token_ids)
        scores_all = sequence.must_score
        self._kv.take(sequence, len(token_ids))
        self._budget -= len(token_ids)
        self._num_scorable -= len(token_ids) if scores_all else 0
        self._planned[sequence.key] = Work(
            key=sequence.key,
            slot=sequence.slot,
            start=start,
            token_ids=token_ids,
            num_rows=1 + len(draft) if is_whole else 0,
            scores_all=scores_all,
        )


def _cache(limits: Limits) -> KvCache | SeparateCache:
    return SeparateCache(limits) if limits.slot_cells else KvCache(limits)


def _order(sequence: Sequence) -> tuple[int, int]:
    return sequence.order
