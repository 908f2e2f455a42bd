"""Work whose client has gone is cancelled; work that ends gives its result."""

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from api.disconnect import ClientGone, while_connected
from api.visit import visit_of
from core.errors import DeadlineExceeded
from tests.api.visits import visiting


def request_that_receives(messages: list[dict[str, Any]], has_gone: asyncio.Event) -> Request:
    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await has_gone.wait()
        return {"type": "http.disconnect"}

    return visiting(receive)


async def test_work_is_cancelled_when_the_client_goes() -> None:
    has_gone, was_cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        has_gone.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise

    late_body = [{"type": "http.request", "body": b"", "more_body": False}]
    with pytest.raises(ClientGone):
        await while_connected(request_that_receives(late_body, has_gone), work())
    await was_cancelled.wait()


async def test_the_result_is_given_and_the_watch_ends() -> None:
    async def work() -> int:
        return 7

    before = asyncio.all_tasks()
    assert await while_connected(request_that_receives([], asyncio.Event()), work()) == 7
    await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)


async def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        await while_connected(request_that_receives([], asyncio.Event()), work())


async def test_work_is_cancelled_when_the_request_is_cut_off() -> None:
    was_cancelled = asyncio.Event()
    request = request_that_receives([], asyncio.Event())

    async def work() -> None:
        visit_of(request).cutoff.cut(DeadlineExceeded("too late"))
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            was_cancelled.set()
            raise

    with pytest.raises(DeadlineExceeded, match="too late"):
        await while_connected(request, work())
    await was_cancelled.wait()
