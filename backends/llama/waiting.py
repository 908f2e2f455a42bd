"""Owns who waits for a slot, in what order, and who waits for a prefix that another computes."""

from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass

from backends.llama.prefix_tree import common_length
from backends.llama.sequence import Phase, Sequence

# Fewer ids than this are computed again rather than waited for.
WORTH_WAITING = 16


@dataclass(frozen=True, slots=True)
class _Follower:
    """`sequence` goes on once `leader` has computed so many ids, or can't any more."""

    sequence: Sequence
    leader: Sequence
    num_needed: int

    @property
    def is_released(self) -> bool:
        return self.leader.phase is not Phase.PREFILL or self.leader.num_computed >= self.num_needed


class WaitingQueue:
    """Sequences without a slot, by priority and arrival; followers wait beside it."""

    def __init__(self) -> None:
        self._queue: list[Sequence] = []
        self._followers: list[_Follower] = []

    def __len__(self) -> int:
        return len(self._queue) + len(self._followers)

    def __iter__(self) -> Iterator[Sequence]:
        """Those that may be admitted, first come first; safe against changes meanwhile."""
        return iter(tuple(self._queue))

    def add(self, sequence: Sequence) -> None:
        insort(self._queue, sequence, key=_order)

    def remove(self, sequence: Sequence) -> None:
        if sequence in self._queue:
            self._queue.remove(sequence)
        else:
            self._followers = [f for f in self._followers if f.sequence is not sequence]

    def release_followers(self) -> None:
        """Puts back into the queue those whose prefix is there, or will not come."""
        released = [f for f in self._followers if f.is_released]
        if released:
            self._followers = [f for f in self._followers if not f.is_released]
            for follower in released:
                self.add(follower.sequence)

    def follow(self, sequence: Sequence, prefilling: list[Sequence], num_matched: int) -> bool:
        """Lets it wait if one in prefill is computing more of its prefix than is there already."""
        best: _Follower | None = None
        worth = num_matched + WORTH_WAITING
        for leader in prefilling:
            length = _common(leader, sequence, worth)
            if length >= worth and (not best or length > best.num_needed):
                best = _Follower(sequence, leader, length)
        if best is None or best.is_released:
            return False
        self._queue.remove(sequence)
        self._followers.append(best)
        return True


def _common(leader: Sequence, sequence: Sequence, worth: int) -> int:
    """How much of its prompt, less the last id, `leader` shares; 0 where it is not worth it."""
    theirs, ids = leader.token_ids, sequence.token_ids
    if leader.arrival.salt != sequence.arrival.salt or min(len(theirs), len(ids) - 1) < worth:
        return 0
    if theirs[worth - 1] != ids[worth - 1]:
        return 0
    return min(common_length(theirs, ids, 0), len(ids) - 1)


def _order(sequence: Sequence) -> tuple[int, int]:
    return sequence.order
