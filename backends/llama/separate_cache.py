"""Owns slots that each have cells of their own: which prefixes they hold, and which are parked.

The layout for machines with memory to spare. llama.cpp then computes a sequence's attention over
its own cells alone, where in one cache for all it walks over everybody's. A prefix is copied, which
costs about a hundredth of computing it; what a slot held before is parked in ordinary memory.
"""

import itertools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from backends.llama.limits import Limits
from backends.llama.plan import Copy, Discard, Drop, MemoryOperation, Park, Restore, Span
from backends.llama.prefix_tree import common_length
from backends.llama.sequence import Sequence

# Fewer ids are computed again rather than copied, and dropped rather than parked.
WORTH_COPYING = 16
# Each is looked at when a sequence comes.
MOST_PARKED = 256


@dataclass(slots=True, eq=False)
class _Prefix:
    """The first `end` of `token_ids` are computed: in a slot, or in a span."""

    token_ids: list[int]
    salt: Hashable
    end: int = 0
    slot: int | None = None
    span: Span | None = None
    last_used: int = 0

    def covers(self, other: "_Prefix") -> bool:
        """Whether `other` is a first part of it."""
        is_shorter = other.salt == self.salt and other.end <= self.end
        return is_shorter and other.token_ids[: other.end] == self.token_ids[: other.end]


class SeparateCache:
    """Does what KvCache does, with `limits.slot_cells` for each sequence. Nothing is preempted."""

    def __init__(self, limits: Limits) -> None:
        assert limits.slot_cells is not None
        self.capacity = limits.slot_cells
        self._limits = limits
        self._held: list[_Prefix | None] = [None] * limits.num_slots
        self._live: dict[int, Sequence] = {}
        self._parked: list[_Prefix] = []
        self._operations: list[MemoryOperation] = []
        self._span_ids = itertools.count()
        self._clock = itertools.count(1)

    @property
    def num_cells(self) -> int:
        return self.capacity * len(self._held)

    @property
    def num_cached(self) -> int:
        """Ids in slots of no live sequence."""
        return sum(p.end for slot, p in enumerate(self._held) if p and slot not in self._live)

    @property
    def num_held(self) -> int:
        """Cells of live sequences."""
        return sum(sequence.num_computed for sequence in self._live.values())

    @property
    def num_free(self) -> int:
        return self.num_cells - self.num_held - self.num_cached

    @property
    def num_parked(self) -> int:
        """Ids in ordinary memory."""
        return sum(prefix.end for prefix in self._parked)

    @property
    def has_operations(self) -> bool:
        return bool(self._operations)

    def take_operations(self) -> tuple[MemoryOperation, ...]:
        operations, self._operations = tuple(self._operations), []
        return operations

    def num_matched(self, sequence: Sequence) -> int:
        """How many of its ids are computed; never all, for the last one must yield logits."""
        found = self._find(sequence)
        return self._common(found, sequence) if found else 0

    def admit(self, sequence: Sequence, num_owed: int) -> bool:
        """Gives it a slot, and what is computed of its ids. False where all slots are taken."""
        source = self._find(sequence)
        length = self._common(source, sequence) if source else 0
        slot = self._choose_slot(source, length)
        if slot is None:
            return False
        self._place(slot, source, length)
        mine = _Prefix(sequence.token_ids, sequence.arrival.salt, length, slot)
        mine.last_used = next(self._clock)
        self._held[slot] = mine
        self._live[slot] = sequence
        sequence.slot, sequence.num_computed = slot, length
        self._trim()
        return True

    def detach(self, sequence: Sequence) -> None:
        """Takes its slot away; what it has computed stays there for others until it is needed."""
        slot = sequence.slot
        assert slot is not None
        prefix = self._held[slot]
        assert prefix is not None
        del self._live[slot]
        prefix.end = sequence.num_computed
        prefix.token_ids = sequence.token_ids[: prefix.end]
        prefix.last_used = next(self._clock)
        sequence.slot, sequence.num_computed = None, 0
        if not self._limits.reuse or not prefix.end:
            self._held[slot] = None
            self._operations.append(Drop(slot, 0))
            return
        for parked in [each for each in self._parked if prefix.covers(each)]:
            self._discard(parked)

    def take(self, sequence: Sequence, num_cells: int) -> None:
        """Counts cells that the sequence is about to fill."""
        sequence.num_computed += num_cells
        assert sequence.num_computed <= self.capacity, (sequence.key, sequence.num_computed)

    def untake(self, sequence: Sequence, num_cells: int) -> None:
        """Takes back `take` for its last cells, before anything was computed into them."""
        sequence.num_computed -= num_cells

    def forget(self, sequence: Sequence, num_cells: int) -> None:
        """Drops its last cells, computed in vain."""
        assert sequence.slot is not None
        sequence.num_computed -= num_cells
        self._operations.append(Drop(sequence.slot, sequence.num_computed))

    def publish(self, sequence: Sequence, end: int) -> None:
        """Its ids up to `end` are computed: others may have them."""
        if self._limits.reuse and sequence.slot is not None:
            prefix = self._held[sequence.slot]
            assert prefix is not None
            prefix.end = max(prefix.end, end)

    def free_up(self, num_cells: int) -> bool:
        """There is always room: no sequence takes another one's."""
        return True

    def check(self) -> None:
        """Asserts what must hold between steps."""
        for slot, sequence in self._live.items():
            prefix = self._held[slot]
            assert sequence.slot == slot
            assert prefix is not None
            assert prefix.token_ids is sequence.token_ids
        assert 0 <= self.num_free <= self.num_cells

    def check_idle(self) -> None:
        """Asserts that no slot is taken."""
        self.check()
        assert not self._live

    def check_prefixes(self) -> None:
        """Asserts prefix by prefix that it is where it says."""
        for slot, held in enumerate(self._held):
            assert held is None or (held.slot == slot and held.span is None)
        for parked in self._parked:
            assert parked.slot is None
            assert parked.span is not None
            assert parked.span.num_tokens == parked.end == len(parked.token_ids)

    def _prefixes(self) -> Iterator[_Prefix]:
        yield from (prefix for prefix in self._held if prefix is not None)
        yield from self._parked

    def _find(self, sequence: Sequence) -> _Prefix | None:
        """The prefix with most of its ids; of equals one whose slot can be taken over."""
        found, best = None, (0, False)
        for prefix in self._prefixes():
            is_idle = prefix.slot is not None and prefix.slot not in self._live
            rank = self._common(prefix, sequence), is_idle
            if rank[0] and rank > best:
                found, best = prefix, rank
        return found

    def _common(self, prefix: _Prefix, sequence: Sequence) -> int:
        ids = sequence.token_ids
        if prefix.salt != sequence.arrival.salt or prefix.token_ids[:1] != ids[:1]:
            return 0
        length = min(common_length(prefix.token_ids, ids, 0), prefix.end, len(ids) - 1)
        return length if length >= WORTH_COPYING else 0

    def _choose_slot(self, source: _Prefix | None, length: int) -> int | None:
        """The source's own where little of it would be lost, else the first without a sequence.

        Running slots should be neighbours: llama.cpp computes each run of them by itself.
        """
        is_idle = source is not None and source.slot is not None and source.slot not in self._live
        if source and is_idle and source.end - length < WORTH_COPYING:
            return source.slot
        idle = (slot for slot in range(len(self._held)) if slot not in self._live)
        return next(idle, None)

    def _place(self, slot: int, source: _Prefix | None, length: int) -> None:
        held = self._held[slot]
        if held is not None and held is source:
            self._park(held, num_lost=held.end - length)
            self._operations.append(Drop(slot, length))
            return
        if held is not None:
            self._park(held, num_lost=held.end)
            self._operations.append(Drop(slot, 0))
        if source is None:
            return
        source.last_used = next(self._clock)
        if source.slot is not None:
            self._operations.append(Copy(source.slot, slot, length))
        elif source.span is not None:
            self._operations.append(Restore(slot, source.span, 0, length))

    def _park(self, prefix: _Prefix, *, num_lost: int) -> None:
        """Keeps what a slot held, where enough of it would be lost otherwise."""
        assert prefix.slot is not None
        self._held[prefix.slot] = None
        is_known = any(each.covers(prefix) for each in self._prefixes())
        if not self._limits.max_parked or num_lost < WORTH_COPYING or is_known:
            return
        span = Span(next(self._span_ids), 0, prefix.end)
        self._operations.append(Park(prefix.slot, span))
        prefix.slot, prefix.span = None, span
        self._parked.append(prefix)

    def _trim(self) -> None:
        while self.num_parked > self._limits.max_parked or len(self._parked) > MOST_PARKED:
            self._discard(min(self._parked, key=lambda prefix: prefix.last_used))

    def _discard(self, parked: _Prefix) -> None:
        assert parked.span is not None
        self._parked.remove(parked)
        self._operations.append(Discard(parked.span))
