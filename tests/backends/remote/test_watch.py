"""When servers are looked at, and that none waits for another."""

import asyncio
import logging

import pytest

from backends.remote.directory import Directory
from backends.remote.endpoint import Endpoint
from backends.remote.watch import Watch
from backends.upstream import BreakerState
from core.errors import UpstreamFailed
from core.upstreams import BreakerRules, Upstream, UpstreamKind
from tests.backends.remote import virtual_time
from tests.backends.remote.documents import DocumentWire, failure, listing
from tests.backends.remote.scripted_wire import call

REFRESH_S, OPEN_S = 60.0, 10.0


async def never() -> bytes:
    await asyncio.Event().wait()
    return b""


class Watching:
    """Upstreams a, b, ... of one URL each, with the wires that are given."""

    def __init__(self, *wires: DocumentWire) -> None:
        self.wires = wires
        self.upstreams = [
            Upstream(name, UpstreamKind.OPENAI, (wire.url,), breaker=BreakerRules(1, OPEN_S))
            for name, wire in zip("abc", wires, strict=False)
        ]
        clock = asyncio.get_running_loop().time
        self.endpoints = [
            Endpoint(upstream, wire, clock)
            for upstream, wire in zip(self.upstreams, wires, strict=True)
        ]
        self.directory = Directory(self.upstreams)
        self.watch = Watch(self.endpoints, self.directory, REFRESH_S)

    def names(self) -> list[str]:
        return [model.name for model in self.directory.models()]

    def breaker(self) -> BreakerState:
        return self.endpoints[0].state.breaker

    async def settle(self) -> None:
        """Until all looks that are under way have ended."""
        looks = self.watch.look_again()
        if looks:
            await asyncio.wait(looks)


def test_all_are_looked_at_at_once_and_a_slow_one_delays_none() -> None:
    async def work() -> None:
        slow, fast = DocumentWire(models=never), DocumentWire(models=listing("x"))
        watching = Watching(slow, fast)
        watching.watch.start()
        assert slow.asked == fast.asked == [], "a start waits for nobody"
        looks = watching.watch.look_again()
        assert len(looks) == 2
        _, waiting = await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
        assert len(waiting) == 1
        assert watching.names() == ["x"]
        assert not watching.watch.has_seen_all
        states = [endpoint.state.is_reachable for endpoint in watching.endpoints]
        assert states == [None, True]
        await watching.watch.close()
        assert all(look.done() for look in waiting), "nobody waits for what was closed"

    virtual_time.run(work())


def test_looks_are_repeated_and_the_last_good_list_is_kept() -> None:
    async def work() -> None:
        wire = DocumentWire(models=listing("x"))
        watching = Watching(wire)
        watching.watch.start()
        await watching.settle()
        assert virtual_time.now() == 0
        wire.documents["models"] = failure()
        await wire.asked_for("models", 2)
        assert virtual_time.now() == REFRESH_S
        await watching.settle()
        assert watching.endpoints[0].state.is_reachable is False
        assert watching.names() == ["x"]
        wire.documents["models"] = listing("y")
        await wire.asked_for("models", 3)
        assert virtual_time.now() == REFRESH_S + OPEN_S, "sooner where it did badly"
        await watching.settle()
        assert watching.names() == ["y"]
        await wire.asked_for("models", 4)
        assert virtual_time.now() == 2 * REFRESH_S + OPEN_S
        await watching.watch.close()

    virtual_time.run(work())


def test_looks_that_are_asked_for_are_shared_and_bounded() -> None:
    async def work() -> None:
        wire = DocumentWire(models=listing("x"))
        watching = Watching(wire)
        assert watching.watch.look_again() == set(), "before the start nobody is asked"
        watching.watch.start()
        assert watching.watch.look_again() == watching.watch.look_again() != set()
        await watching.settle()
        assert watching.watch.look_again() == set()
        await asyncio.sleep(5)
        looks = [watching.watch.look_again() for _ in range(100)]
        assert all(look == looks[0] and look for look in looks)
        await asyncio.wait(looks[0])
        assert wire.asked == ["models"] * 2
        await watching.watch.close()
        assert watching.watch.look_again() == set()

    virtual_time.run(work())


def test_a_server_is_looked_at_when_its_breaker_may_close_and_when_it_does() -> None:
    async def work() -> None:
        wire = DocumentWire(models=listing("x"))
        watching = Watching(wire)
        watching.watch.start()
        await watching.settle()
        await asyncio.sleep(20)
        with pytest.raises(UpstreamFailed):
            await watching.endpoints[0].ask(call(), "x")
        assert watching.breaker() is BreakerState.OPEN
        await wire.asked_for("models", 2)
        assert virtual_time.now() == 20 + OPEN_S
        wire.is_answering = True
        await watching.settle()
        await watching.endpoints[0].ask(call(), "x")
        assert watching.breaker() is BreakerState.CLOSED
        await wire.asked_for("models", 3)
        assert virtual_time.now() == 20 + OPEN_S
        await watching.watch.close()
        wire.is_answering = False
        with pytest.raises(UpstreamFailed):
            await watching.endpoints[0].ask(call(), "x")
        assert len(asyncio.all_tasks()) == 1, "what was closed stays closed"

    virtual_time.run(work())


def test_a_mistake_of_ours_ends_no_watch(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async def broken() -> bytes:
            raise RuntimeError("made up")

        wire = DocumentWire(models=broken)
        watching = Watching(wire)
        watching.watch.start()
        await watching.settle()
        wire.documents["models"] = listing("x")
        await wire.asked_for("models", 2)
        await watching.settle()
        assert watching.names() == ["x"]
        await watching.watch.close()

    virtual_time.run(work())
    assert "made up" in caplog.text


def test_what_changes_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        wire = DocumentWire(models=listing("x", "bad\n"))
        watching = Watching(wire)
        watching.watch.start()
        for times in range(2, 5):
            await wire.asked_for("models", times)
        wire.documents["models"] = failure(message="gone\nx")
        for times in range(5, 8):
            await wire.asked_for("models", times)
        await watching.watch.close()

    with caplog.at_level(logging.INFO):
        virtual_time.run(work())
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "upstream=a url=http://box/v1 reachable=true",
        "upstream=a url=http://box/v1 skipped='1 left out, the first for an id that is no printable"
        " text of 1 to 512 characters'",
        "upstream=a url=http://box/v1 reachable=false error='gone\\nx'",
    ]


def test_a_timer_that_ends_within_a_long_look_is_not_the_last_one() -> None:
    async def work() -> None:
        async def late() -> bytes:
            await asyncio.sleep(OPEN_S + 5)
            raise failure()

        wire = DocumentWire(models=late)
        watching = Watching(wire)
        watching.watch.start()
        await wire.asked_for("models", 1)
        with pytest.raises(UpstreamFailed):
            await watching.endpoints[0].ask(call(), "m")
        assert watching.breaker() is BreakerState.OPEN
        await watching.settle()
        wire.documents["models"] = listing("x")
        await asyncio.wait_for(wire.asked_for("models", 2), 10 * REFRESH_S)
        await watching.settle()
        assert watching.endpoints[0].state.is_reachable
        await watching.watch.close()

    virtual_time.run(work())


def test_closing_ends_a_look_that_is_under_way_and_may_be_repeated() -> None:
    async def work() -> None:
        wire = DocumentWire(models=never)
        watching = Watching(wire)
        await watching.watch.close()
        watching.watch.start()
        await wire.asked_for("models", 1)
        await watching.watch.close()
        await watching.watch.close()
        assert len(asyncio.all_tasks()) == 1

    virtual_time.run(work())
