"""Ends work whose client has gone: Starlette cancels no handler that has not begun to answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from api.visit import visit_of

T = TypeVar("T")

# As nginx has it: nobody sees it but logs and metrics.
CLIENT_CLOSED_REQUEST = 499


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client goes, and when the request is cut
    off. Raises ClientGone then, or the reason for the cut.

    The request's body must have been read.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnected(request))
    cutoff = visit_of(request).cutoff
    cutoff.on_cut(lambda _: watcher.cancel())
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if cutoff.error is not None:
            raise cutoff.error
        raise ClientGone
    finally:
        watcher.cancel()
        if not task.done():
            task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
