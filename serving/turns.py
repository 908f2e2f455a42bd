"""Owns whose turn it is at the engine: a bounded queue, fair between accounts.

Fairness is by the virtual token counter (Sheng et al., Fairness in Serving Large Language Models,
OSDI 2024): of the accounts that wait, the one that was served the fewest tokens goes first. Within
an account, the lower priority goes first, then who came first. Pure but for the futures that
waiters wait on; belongs to one event loop. Knows no engine and no HTTP.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from core.errors import QueueFull
from serving.turn_times import TurnTimes

# A token that is generated counts as so many that are read: each needs a step of its own.
_OUTPUT_WEIGHT = 2
# One more than this many slots is in the engine's own queue, so that it finds work at once. Fewer
# slots have none: there it would let a lower priority go first.
_SLOTS_FOR_ONE_MORE = 16
_MOST_LEFT_BEHIND = 64


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How many sequences may wait, and how many prompt tokens they may have; None for any."""

    max_waiting: int | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """One sequence that wants a turn."""

    account: str
    priority: int
    num_prompt_tokens: int


@dataclass(slots=True)
class _Waiter:
    claim: Claim
    since: float
    granted: asyncio.Future[None]


@dataclass(slots=True)
class _Account:
    """`served` is what it was given, in tokens, lifted to the others' when it comes back."""

    served: float = 0.0
    num_running: int = 0
    waiting: dict[int, _Waiter] = field(default_factory=dict)
    order: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        return bool(self.waiting) or self.num_running > 0

    def add(self, number: int, waiter: _Waiter) -> None:
        self.waiting[number] = waiter
        heapq.heappush(self.order, (waiter.claim.priority, number))

    def pop(self) -> _Waiter:
        """The first one. There must be one."""
        while True:
            _, number = heapq.heappop(self.order)
            if (waiter := self.waiting.pop(number, None)) is not None:
                return waiter

    def remove(self, number: int) -> bool:
        """Whether it was waiting. Most that leave stay in `order` until it comes to them."""
        if self.waiting.pop(number, None) is None:
            return False
        if len(self.order) > _MOST_LEFT_BEHIND + 2 * len(self.waiting):
            self.order = [each for each in self.order if each[1] in self.waiting]
            heapq.heapify(self.order)
        return True


@dataclass(slots=True)
class Turn:
    """A turn at the engine, for who has it."""

    claim: Claim
    account: _Account
    waited_s: float
    began_at: float
    has_output: bool = False

    def count_output(self, num_tokens: int) -> None:
        """So many more were generated."""
        self.has_output = True
        self.account.served += _OUTPUT_WEIGHT * num_tokens


class Turns:
    """One engine's. Nothing is granted before `open`."""

    def __init__(self, rules: QueueRules, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules
        self._clock = clock
        self._capacity = 0
        self._accounts: dict[str, _Account] = {}
        self._numbers = itertools.count()
        self._num_running = 0
        self._num_waiting = 0
        self._num_tokens = 0
        self._num_coming = 0
        self._times = TurnTimes()

    @property
    def num_waiting(self) -> int:
        return self._num_waiting

    @property
    def num_waiting_tokens(self) -> int:
        """Of their prompts."""
        return self._num_tokens

    @property
    def oldest_s(self) -> float:
        """How long the one waits that has waited longest; 0 where none does."""
        firsts = [
            next(iter(account.waiting.values())).since
            for account in self._accounts.values()
            if account.waiting
        ]
        return self._clock() - min(firsts) if firsts else 0.0

    def open(self, num_slots: int) -> None:
        """An engine is there that runs so many at once."""
        self._capacity = num_slots + num_slots // _SLOTS_FOR_ONE_MORE
        self._grant()

    @contextmanager
    def coming(self, count: int) -> Iterator[None]:
        """So many are prepared, and count as waiting meanwhile. Raises QueueFull."""
        self.check((0,) * count)
        self._num_coming += count
        try:
            yield
        finally:
            self._num_coming -= count

    def check(self, sizes: Sequence[int]) -> None:
        """Whether so many could come now, with prompts of these sizes. Raises QueueFull.

        Those that find a place at the engine at once don't wait.
        """
        num_before = self._num_waiting + self._num_coming
        num_free = max(self._capacity - self._num_running - num_before, 0)
        waiting = sorted(sizes)[: max(len(sizes) - num_free, 0)]
        if not waiting:
            return
        rules, num_tokens = self._rules, sum(waiting)
        if rules.max_waiting is not None and num_before + len(waiting) > rules.max_waiting:
            over = num_before + len(waiting) - rules.max_waiting
            raise self._full(f"{num_before} sequences wait", over)
        if rules.max_tokens is not None and self._num_tokens + num_tokens > rules.max_tokens:
            share = (self._num_tokens + num_tokens - rules.max_tokens) / max(self._num_tokens, 1)
            over = max(round(share * self._num_waiting), 1)
            raise self._full(f"{self._num_tokens} prompt tokens wait", over)

    @asynccontextmanager
    async def turn(self, claim: Claim) -> AsyncGenerator[Turn, None]:
        """Waits for it, and holds it until the end. `check` comes before, while a request can still
        be refused: what was accepted is never turned away.
        """
        turn = await self._wait(claim)
        try:
            yield turn
        finally:
            if turn.has_output:
                self._times.add(self._clock() - turn.began_at)
            self._give_back(turn.account)

    async def _wait(self, claim: Claim) -> Turn:
        since = self._clock()
        waiter = _Waiter(claim, since, asyncio.get_running_loop().create_future())
        number = next(self._numbers)
        account = self._arrive(claim)
        account.add(number, waiter)
        self._num_waiting += 1
        self._num_tokens += claim.num_prompt_tokens
        self._grant()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            self._leave(number, account, waiter)
            raise
        now = self._clock()
        return Turn(claim, account, now - since, now)

    def _arrive(self, claim: Claim) -> _Account:
        """An account that was away owes nothing, and has saved nothing either."""
        account = self._accounts.setdefault(claim.account, _Account())
        if not account.is_active:
            others = [each.served for each in self._accounts.values() if each.is_active]
            account.served = max(account.served, min(others, default=account.served))
        return account

    def _leave(self, number: int, account: _Account, waiter: _Waiter) -> None:
        """Its task was cancelled: before its turn came, or just when it had."""
        if waiter.granted.done() and not waiter.granted.cancelled():
            self._give_back(account)
            return
        if account.remove(number):
            self._num_waiting -= 1
            self._num_tokens -= waiter.claim.num_prompt_tokens
        self._forget_all_if_idle()

    def _grant(self) -> None:
        while self._num_waiting and self._num_running < self._capacity:
            account = min(
                (each for each in self._accounts.values() if each.waiting),
                key=lambda each: each.served,
            )
            waiter = account.pop()
            self._num_waiting -= 1
            self._num_tokens -= waiter.claim.num_prompt_tokens
            if waiter.granted.cancelled():
                # Its task has been cancelled, and not run since.
                continue
            self._num_running += 1
            account.num_running += 1
            account.served += waiter.claim.num_prompt_tokens
            waiter.granted.set_result(None)

    def _give_back(self, account: _Account) -> None:
        account.num_running -= 1
        self._num_running -= 1
        self._grant()
        self._forget_all_if_idle()

    def _forget_all_if_idle(self) -> None:
        """With nobody there, what each was served is of no interest."""
        if not self._num_running and not self._num_waiting:
            self._accounts.clear()

    def _full(self, fact: str, num_over: int) -> QueueFull:
        """When so many more will have had their turn, at the speed of late."""
        wait_s = self._times.until(num_over, max(self._capacity, 1))
        return QueueFull(
            f"the server has as much work as it takes: {fact}; try again in {wait_s:.0f} s", wait_s
        )
