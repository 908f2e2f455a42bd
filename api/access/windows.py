"""Owns how much there was in the last while. Reads no clock, and knows no limit's meaning."""

from collections import deque

NUM_SLOTS = 60


class Window:
    """Counts over the last `span_s` seconds, by slots of a sixtieth, so that memory is bounded.

    A count leaves with its whole slot, up to a slot late: what is held below a limit here is below
    it in every span of that length. `now` is in seconds and never goes back.
    """

    def __init__(self, span_s: int) -> None:
        self._slot_s = span_s / NUM_SLOTS
        self._slots: deque[int] = deque()
        self._counts: deque[int] = deque()
        self._total = 0

    def add(self, count: int, now: float) -> None:
        slot = self._slot(now)
        if not self._slots or self._slots[-1] != slot:
            self._slots.append(slot)
            self._counts.append(0)
        self._counts[-1] += count
        self._total += count
        self._drop_old(slot)

    def used(self, now: float) -> int:
        self._drop_old(self._slot(now))
        return self._total

    def wait_s(self, limit: int, now: float) -> float:
        """How long until less than `limit` is used, if nothing is added."""
        used, left_at = self.used(now), now
        for slot, count in zip(self._slots, self._counts, strict=True):
            if used < limit:
                break
            used -= count
            left_at = self._left_at(slot)
        return left_at - now

    def reset_s(self, now: float) -> float:
        """How long until nothing is used, if nothing is added."""
        return self._left_at(self._slots[-1]) - now if self.used(now) else 0.0

    def _slot(self, now: float) -> int:
        return int(now // self._slot_s)

    def _left_at(self, slot: int) -> float:
        return (slot + NUM_SLOTS + 1) * self._slot_s

    def _drop_old(self, slot: int) -> None:
        while self._slots and self._slots[0] < slot - NUM_SLOTS:
            self._slots.popleft()
            self._total -= self._counts.popleft()
