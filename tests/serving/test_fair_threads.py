"""Threads for slow work: bounded, fair between accounts, and never more at work than there are."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from core.errors import QueueFull
from serving.fair_threads import FairThreads
from serving.turns import Claim


@dataclass
class Work:
    """Each piece waits in its thread until it may go on, and notes when it has ended."""

    threads: FairThreads
    begun: list[str] = field(default_factory=list)
    may_end: dict[str, threading.Event] = field(default_factory=dict)
    tasks: dict[str, asyncio.Task[str]] = field(default_factory=dict)

    async def come(self, name: str, account: str = "", size: int = 1) -> None:
        self.may_end[name] = threading.Event()

        def work() -> str:
            self.begun.append(name)
            self.may_end[name].wait(20)
            return name

        running = self.threads.run(Claim(account, 0, size), work)
        self.tasks[name] = asyncio.create_task(running)
        await asyncio.sleep(0)

    async def begin(self, name: str, account: str = "") -> None:
        """It has a thread."""
        await self.come(name, account)
        await self.has_begun(name)

    async def has_begun(self, name: str) -> None:
        while name not in self.begun:
            await asyncio.sleep(0)

    async def end(self, name: str) -> None:
        self.may_end[name].set()
        assert await self.tasks[name] == name

    async def end_all(self) -> None:
        for each in self.may_end.values():
            each.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    def refusal(self, name: str) -> str | None:
        task = self.tasks[name]
        error = task.exception() if task.done() else None
        return str(error) if isinstance(error, QueueFull) else None


@asynccontextmanager
async def working(num_threads: int = 1, max_waiting: int | None = None) -> AsyncIterator[Work]:
    """All of it ends, also where a test fails."""
    work = Work(FairThreads("test", num_threads, max_waiting))
    try:
        yield work
    finally:
        await work.end_all()


async def test_more_than_may_wait_are_refused_and_told_when_to_come_back() -> None:
    async with working(num_threads=2, max_waiting=1) as work:
        for name in "abcd":
            await work.come(name)
        assert [work.refusal(name) is None for name in "abcd"] == [True, True, True, False]
        error = work.tasks["d"].exception()
        assert isinstance(error, QueueFull)
        assert error.retry_after_s >= 1
        await work.end_all()
        await work.come("e")
        assert work.refusal("e") is None


async def test_what_may_always_wait_is_never_refused() -> None:
    async with working() as work:
        for number in range(100):
            await work.come(str(number), account="a")
        assert not any(work.refusal(name) for name in work.tasks)
        await work.end_all()
        assert len(work.begun) == 100


async def test_one_key_never_has_all_places() -> None:
    async with working(max_waiting=3) as work:
        for name in "abc":
            await work.come(name, account="greedy")
        assert "2 of them this key's" in (work.refusal("c") or "")
        await work.come("d", account="modest")
        assert [work.refusal(name) is None for name in "abd"] == [True] * 3


async def test_between_keys_turns_are_fair_whoever_came_first() -> None:
    async with working() as work:
        await work.begin("first", account="greedy")
        for number in range(5):
            await work.come(f"greedy-{number}", account="greedy")
        await work.come("modest", account="modest")
        await work.end("first")
        await work.end("greedy-0")
        await work.has_begun("modest")
        assert work.begun == ["first", "greedy-0", "modest"]


async def test_who_leaves_the_queue_is_never_begun_and_leaves_its_place() -> None:
    async with working(max_waiting=1) as work:
        await work.begin("first")
        await work.come("gone")
        work.tasks["gone"].cancel()
        await asyncio.gather(work.tasks["gone"], return_exceptions=True)
        await work.come("next")
        assert work.refusal("next") is None
        await work.end("first")
        await work.end("next")
        assert work.begun == ["first", "next"]


async def test_what_runs_keeps_its_place_though_nobody_waits_for_it() -> None:
    async with working(max_waiting=0) as work:
        await work.begin("left")
        for _ in range(3):
            work.tasks["left"].cancel()
            await asyncio.sleep(0)
        await work.come("early")
        assert work.refusal("early")
        assert not work.tasks["left"].done()
        work.may_end["left"].set()
        with pytest.raises(asyncio.CancelledError):
            await work.tasks["left"]
        await work.begin("late")
        await work.end("late")


async def test_an_error_is_raised_to_who_waits_and_frees_the_place() -> None:
    def fail() -> None:
        raise LookupError("lost")

    threads = FairThreads("own", 1, 0)
    for _ in range(2):
        with pytest.raises(LookupError, match="lost"):
            await threads.run(Claim("", 0, 1), fail)


async def test_the_threads_are_no_others() -> None:
    name = await FairThreads("own", 1).run(Claim("", 0, 1), lambda: threading.current_thread().name)
    assert name.startswith("own")
