"""What is under way comes to its own end in time, or to one that is made."""

import asyncio

import pytest

from api.cutoff import Cutoff
from api.traffic import Traffic
from core.errors import EngineFailed, JarvisError, ServerStopping
from hosting.draining import cut_off, drain


def ends_of(cutoff: Cutoff) -> list[JarvisError]:
    told: list[JarvisError] = []
    cutoff.on_cut(told.append)
    return told


async def test_it_ends_with_the_last_that_leaves_and_lets_nothing_in() -> None:
    traffic = Traffic()
    first, second = traffic.enter(), traffic.enter()
    told = ends_of(first)
    draining = asyncio.create_task(drain(traffic, 60))
    traffic.leave(first)
    await asyncio.sleep(0)
    with pytest.raises(ServerStopping, match="takes no new requests"):
        traffic.enter()
    assert not draining.done()
    traffic.leave(second)
    await draining
    assert told == []


@pytest.mark.parametrize("timeout_s", [0, 0.01])
async def test_what_takes_too_long_is_told_once(timeout_s: float) -> None:
    traffic = Traffic()
    told = ends_of(traffic.enter())
    await drain(traffic, timeout_s)
    assert [type(error) for error in told] == [ServerStopping]


@pytest.mark.parametrize("timeout_s", [0, 60])
async def test_with_nothing_under_way_there_is_nothing_to_end(
    timeout_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    await drain(Traffic(), timeout_s)
    assert "ending what is under way" not in caplog.text


async def test_what_nobody_can_answer_is_told_so() -> None:
    traffic = Traffic()
    told = ends_of(traffic.enter())
    cut_off(traffic, "the engine died")
    assert [(type(error), str(error)) for error in told] == [(EngineFailed, "the engine died")]
    with pytest.raises(ServerStopping, match="the engine died"):
        traffic.enter()
