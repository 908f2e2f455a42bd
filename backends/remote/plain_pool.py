"""Owns the connections of HTTP/1.1 without encryption to one server: idle ones are used again.

It takes the place of httpcore2's pool, for its requests and answers: that one reads through h11 and
anyio, which cost more for each token than all else that happens to it here, and looks at each idle
connection for each request. Knows nothing of what is asked.
"""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

import httpcore2

from backends.remote.answer_reading import Answer, Unanswered
from backends.remote.plain_connection import PlainConnection, connected


@dataclass(frozen=True, slots=True)
class _Idle:
    connection: PlainConnection
    expires_at: float


class PlainPool:
    """Belongs to one event loop. There is no limit to connections, only to idle ones."""

    def __init__(self, keepalive_s: float, max_idle: int) -> None:
        self._keepalive_s = keepalive_s
        self._max_idle = max_idle
        # In the order in which they became idle: the last one is used first, so that those that
        # nobody needs grow old.
        self._idle: list[_Idle] = []
        self._busy: set[PlainConnection] = set()
        self._is_closed = False

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """Returns when the answer's headers have come; it has to be closed.

        Raises httpcore2's TimeoutException, NetworkError or ProtocolError.
        """
        timeouts = request.extensions["timeout"]
        written = await _written(request)
        if (idle := self._take_idle()) is not None:
            # A server that was about to close it is asked on a new one. On another idle one it may
            # happen again, and each time it may be the request that it can't stand.
            with suppress(Unanswered):
                return await self._ask(idle, written, timeouts)
        connection = await connected(request.url.origin, timeouts["connect"])
        return await self._ask(connection, written, timeouts)

    async def aclose(self) -> None:
        """Ends what is under way with ReadError. Idempotent."""
        self._is_closed = True
        for connection in (*self._busy, *(each.connection for each in self._idle)):
            connection.close()
        self._idle.clear()

    def release(self, connection: PlainConnection, answer: Answer) -> None:
        """Free for another request where `answer` was read to its end, else closed."""
        self._busy.discard(connection)
        if self._is_closed or not connection.is_open or not answer.leaves_connection_clean:
            connection.close()
            return
        connection.rest()
        self._idle.append(_Idle(connection, monotonic() + self._keepalive_s))
        if len(self._idle) > self._max_idle:
            self._idle.pop(0).connection.close()

    async def _ask(
        self, connection: PlainConnection, written: bytes, timeouts: dict[str, float]
    ) -> httpcore2.Response:
        self._busy.add(connection)
        try:
            answer = connection.ask(written, timeouts["read"])
            await connection.drained(timeouts["write"])
            await answer.begun()
        except BaseException:
            self._busy.discard(connection)
            connection.close()
            raise
        body = _Body(self, connection, answer)
        return httpcore2.Response(answer.status, headers=answer.headers, content=body)

    def _take_idle(self) -> PlainConnection | None:
        now = monotonic()
        while self._idle:
            last = self._idle.pop()
            if last.connection.is_open and now < last.expires_at:
                return last.connection
            last.connection.close()
        return None


class _Body:
    """What is read of an answer."""

    def __init__(self, pool: PlainPool, connection: PlainConnection, answer: Answer) -> None:
        self._pool = pool
        self._connection = connection
        self._answer = answer
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._answer.next_piece()) is not None:
            yield piece

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._pool.release(self._connection, self._answer)


async def _written(request: httpcore2.Request) -> bytes:
    """A request as bytes, its body included. Raises httpcore2.LocalProtocolError."""
    stream = request.stream
    assert isinstance(stream, AsyncIterable)
    body = b"".join([part async for part in stream])
    lines = [b"%b %b HTTP/1.1" % (request.method, request.url.target)]
    lines += [b"%b: %b" % header for header in request.headers]
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(request.headers) or head.count(b"\r") != len(request.headers):
        raise httpcore2.LocalProtocolError("a header holds a line's end")
    return b"%b\r\n\r\n%b" % (head, body)
