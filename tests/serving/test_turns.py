"""Whose turn it is at the engine: bounds, order, fairness, and that nothing is lost or kept."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import QueueFull
from serving.turns import Claim, QueueRules, Turns


@dataclass
class Visitors:
    """Those who want turns, each a task that holds its turn until it is told to go on."""

    turns: Turns
    begun: list[str] = field(default_factory=list)
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    may_end: dict[str, asyncio.Event] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    async def come(
        self, name: str, account: str = "", priority: int = 0, size: int = 1, output: int = 0
    ) -> None:
        self.may_end[name] = asyncio.Event()
        claim = Claim(account, priority, size)
        self.tasks[name] = asyncio.create_task(self._visit(name, claim, output))
        await settled()

    async def end(self, name: str) -> None:
        self.may_end[name].set()
        await self.tasks[name]
        await settled()

    async def leave(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks[name], return_exceptions=True)
        await settled()

    async def end_all(self) -> None:
        """In the order in which they began."""
        while waiting := [n for n in self.begun if not self.tasks[n].done()]:
            await self.end(waiting[0])

    async def _visit(self, name: str, claim: Claim, output: int) -> None:
        try:
            self.turns.check((claim.num_prompt_tokens,))
        except QueueFull:
            self.refused.append(name)
            return
        async with self.turns.turn(claim) as turn:
            self.begun.append(name)
            turn.count_output(output)
            await self.may_end[name].wait()


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def made(
    num_slots: int = 1,
    rules: QueueRules | None = None,
    clock: Callable[[], float] = lambda: 0.0,
) -> Visitors:
    turns = Turns(rules or QueueRules(), clock)
    turns.open(num_slots)
    return Visitors(turns)


@asynccontextmanager
async def held(visitors: Visitors, name: str = "first") -> AsyncIterator[None]:
    """Somebody has the only turn."""
    await visitors.come(name, account="holder")
    yield
    await visitors.end(name)


async def test_those_that_find_a_place_do_not_wait() -> None:
    visitors = made(num_slots=3)
    for name in "abc":
        await visitors.come(name)
    assert visitors.begun == ["a", "b", "c"]
    assert (visitors.turns.num_waiting, visitors.turns.oldest_s) == (0, 0.0)
    await visitors.end_all()


async def test_nothing_begins_before_an_engine_is_there() -> None:
    visitors = Visitors(Turns(QueueRules()))
    await visitors.come("a")
    assert visitors.begun == []
    visitors.turns.open(1)
    await settled()
    assert visitors.begun == ["a"]
    await visitors.end_all()


async def test_the_lower_priority_goes_first_then_who_came_first() -> None:
    visitors = made()
    async with held(visitors):
        for name, priority in (("a", 5), ("b", 0), ("c", 0), ("d", -3)):
            await visitors.come(name, priority=priority)
    await visitors.end_all()
    assert visitors.begun == ["first", "d", "b", "c", "a"]


async def test_an_account_with_few_requests_does_not_wait_behind_one_with_many() -> None:
    visitors = made()
    async with held(visitors):
        for number in range(20):
            await visitors.come(f"many{number}", account="many", size=100)
        await visitors.come("few", account="few", size=100)
    await visitors.end_all()
    assert visitors.begun.index("few") <= 2


async def test_a_priority_counts_among_the_account_s_own_alone() -> None:
    visitors = made()
    async with held(visitors):
        for number in range(10):
            await visitors.come(f"pushy{number}", account="pushy", priority=-(2**31), size=10)
        await visitors.come("calm", account="calm", size=10)
    await visitors.end_all()
    assert visitors.begun.index("calm") <= 2


async def test_long_answers_count_for_more_turns_of_the_other() -> None:
    """Equal prompts, answers of 90 and of 10 tokens: the tokens are shared, not the turns."""
    visitors = made()
    async with held(visitors):
        for number in range(30):
            await visitors.come(f"long{number}", account="long", size=1, output=90)
            await visitors.come(f"short{number}", account="short", size=1, output=10)
    await visitors.end_all()
    counts = Counter(name.rstrip("0123456789") for name in visitors.begun[1:21])
    assert counts["long"] <= 4


async def test_an_account_that_was_away_has_saved_no_turns() -> None:
    visitors = made()
    async with held(visitors):
        for number in range(3):
            await visitors.come(f"a{number}", account="a", size=1000)
    for name in ("a0", "a1"):
        await visitors.end(name)
    # Of b's ten none may overtake all of a's that come now.
    for number in range(10):
        await visitors.come(f"b{number}", account="b", size=100)
    await visitors.come("a3", account="a", size=100)
    await visitors.end_all()
    assert visitors.begun.index("a3") < visitors.begun.index("b9")


async def test_beyond_the_bound_it_is_refused_at_once() -> None:
    visitors = made(rules=QueueRules(max_waiting=2))
    async with held(visitors):
        for name in "abc":
            await visitors.come(name)
        assert visitors.refused == ["c"]
        assert visitors.turns.num_waiting == 2
    await visitors.end_all()


async def test_without_a_queue_free_places_are_taken_all_the_same() -> None:
    visitors = made(num_slots=2, rules=QueueRules(max_waiting=0))
    for name in "abc":
        await visitors.come(name)
    assert (visitors.begun, visitors.refused) == (["a", "b"], ["c"])
    await visitors.end_all()


async def test_what_was_accepted_is_not_turned_away_by_who_came_meanwhile() -> None:
    visitors = made(rules=QueueRules(max_waiting=1))
    async with held(visitors):
        turns = visitors.turns
        turns.check([1])
        await visitors.come("quick")

        async def late() -> bool:
            async with turns.turn(Claim("", 0, 1)):
                return True

        accepted = asyncio.create_task(late())
        await settled()
        assert turns.num_waiting == 2
    await visitors.end_all()
    assert await accepted


async def test_those_that_are_prepared_count_as_waiting() -> None:
    visitors = made(rules=QueueRules(max_waiting=1))
    async with held(visitors):
        with visitors.turns.coming(1), pytest.raises(QueueFull):
            visitors.turns.check([1])
        visitors.turns.check([1])


async def test_the_tokens_that_wait_are_bounded_too() -> None:
    visitors = made(rules=QueueRules(max_tokens=100))
    async with held(visitors):
        await visitors.come("a", size=60)
        await visitors.come("b", size=60)
        await visitors.come("c", size=40)
        assert visitors.refused == ["b"]
        assert visitors.turns.num_waiting_tokens == 100
    await visitors.end_all()


async def test_several_are_refused_together() -> None:
    turns = made(num_slots=2, rules=QueueRules(max_waiting=3)).turns
    turns.check([1] * 5)
    with pytest.raises(QueueFull):
        turns.check([1] * 6)


async def test_when_to_try_again_follows_what_was_measured() -> None:
    now = [0.0]
    visitors = made(rules=QueueRules(max_waiting=1), clock=lambda: now[0])
    await visitors.come("a")
    now[0] = 30.0
    await visitors.end("a")
    await visitors.come("b")
    await visitors.come("c")
    with pytest.raises(QueueFull, match="try again in 30 s") as refused:
        visitors.turns.check([1])
    assert refused.value.retry_after_s == pytest.approx(30.0)
    assert visitors.turns.oldest_s == 0.0
    now[0] = 37.0
    assert visitors.turns.oldest_s == 7.0
    await visitors.end_all()


async def test_who_leaves_the_queue_is_never_given_a_turn() -> None:
    visitors = made()
    async with held(visitors):
        await visitors.come("a", size=7)
        await visitors.come("b")
        await visitors.leave("a")
        assert (visitors.turns.num_waiting, visitors.turns.num_waiting_tokens) == (1, 1)
    await visitors.end_all()
    assert visitors.begun == ["first", "b"]


async def test_a_turn_granted_to_one_that_leaves_goes_to_the_next() -> None:
    visitors = made()
    await visitors.come("first")
    await visitors.come("a")
    await visitors.come("b")
    visitors.may_end["first"].set()
    # Its turn is granted in the same round of the loop in which it is cancelled.
    visitors.tasks["a"].cancel()
    await asyncio.gather(*(visitors.tasks[n] for n in ("first", "a")), return_exceptions=True)
    await settled()
    assert "b" in visitors.begun
    await visitors.end_all()


async def test_thousands_that_come_and_go_leave_nothing() -> None:
    visitors = made()
    async with held(visitors):
        for number in range(1000):
            await visitors.come(f"v{number}", account="x")
            await visitors.leave(f"v{number}")
        account = visitors.turns._accounts["x"]
        assert len(account.order) < 100
    assert not visitors.turns._accounts


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 20), st.integers(0, 8))
def test_every_one_ends_exactly_once(seed: int, num_slots: int, max_waiting: int) -> None:
    """Random arrivals, ends and departures: never more than the slots, never a lost place."""
    asyncio.run(_random_traffic(random.Random(seed), num_slots, max_waiting))


async def _random_traffic(chance: random.Random, num_slots: int, max_waiting: int) -> None:
    visitors = made(num_slots, QueueRules(max_waiting=max_waiting))
    for number in range(60):
        account = chance.choice("abc")
        await visitors.come(f"v{number}", account, chance.randint(-1, 1), chance.randint(0, 50))
        undone = [n for n, task in visitors.tasks.items() if not task.done()]
        running = [n for n in visitors.begun if n in undone]
        assert len(running) <= num_slots + num_slots // 16
        assert visitors.turns.num_waiting == len(undone) - len(running) <= max_waiting
        if undone and chance.random() < 0.6:
            name = chance.choice(undone)
            await (visitors.end(name) if name in running else visitors.leave(name))
    await visitors.end_all()
    assert all(task.done() for task in visitors.tasks.values())
    assert not visitors.turns._accounts
    assert (visitors.turns.num_waiting, visitors.turns.num_waiting_tokens) == (0, 0)
