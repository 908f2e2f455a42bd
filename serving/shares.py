"""Owns how much of one thing requests may hold all together, and each account of it. Knows not
what it is.

An account holds no more than it leaves free: one alone gets half, two a third each, and whoever
comes next finds a place. (Dynamic thresholds: Choudhury and Hahne, IEEE/ACM ToN 6, 1998.)
"""

import time
from collections import Counter
from collections.abc import Callable

from core.errors import QueueFull
from serving.turn_times import TurnTimes


class Share:
    """What one holds, until its end."""

    def __init__(self, shares: "Shares", account: str, began_at: float) -> None:
        self._shares: Shares | None = shares
        self.account = account
        self.began_at = began_at
        self.amount = 0

    def reach(self, amount: int) -> None:
        """Holds so much from now on, where that is more. Raises QueueFull; then it holds what it
        held.
        """
        assert self._shares is not None, "it has not ended"
        if amount > self.amount:
            self._shares.grow(self, amount)

    def end(self) -> None:
        """The first call counts."""
        if self._shares is not None:
            self._shares.give_back(self)
            self._shares = None


class Shares:
    """Belongs to one event loop. Where there are no accounts, one may hold all of it."""

    def __init__(self, limit: int, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`what` there is so much of, in words: more than one."""
        self._limit = limit
        self._what = what
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._total = 0
        self._num_shares = 0
        self._times = TurnTimes()

    @property
    def total(self) -> int:
        """What is held."""
        return self._total

    def take(self, account: str, amount: int) -> Share:
        """Raises QueueFull."""
        share = Share(self, account, self._clock())
        share.reach(amount)
        self._num_shares += 1
        return share

    def grow(self, share: Share, amount: int) -> None:
        """Raises QueueFull. Where nobody else holds any, one may have more than there is."""
        more = amount - share.amount
        if self._total != share.amount:
            free = self._limit - self._total - more
            if free < 0 or (share.account and self._held[share.account] + more > free):
                raise self._full(share.account)
        self._total += more
        self._held[share.account] += more
        share.amount = amount

    def give_back(self, share: Share) -> None:
        self._num_shares -= 1
        self._total -= share.amount
        self._held[share.account] -= share.amount
        if not self._held[share.account]:
            del self._held[share.account]
        self._times.add(self._clock() - share.began_at)

    def _full(self, account: str) -> QueueFull:
        """When another will have ended, at the speed of late."""
        wait_s = self._times.until(1, max(self._num_shares, 1))
        whose = f", {self._held[account]} of them this key's" if account else ""
        return QueueFull(
            f"the server holds {self._total} {self._what}{whose}, of {self._limit} at most; try"
            f" again in {wait_s:.0f} s",
            wait_s,
        )
