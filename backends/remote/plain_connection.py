"""Owns one connection of HTTP/1.1 without encryption: bytes out, and one answer at a time in.

Knows neither what is asked nor who has the connection next.
"""

import asyncio
import socket
from typing import cast

import httpcore2

from backends.remote.answer_reading import Answer, Unanswered

# How long each address of a host but the last may take: some lead nowhere, such as those of a
# version of IP that the way there does not have.
_ADDRESS_S = 1.0


class PlainConnection(asyncio.Protocol):
    """Belongs to one event loop. Raises httpcore2's errors, as users of its pool know them."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: Answer | None = None
        self._drained: asyncio.Future[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, read_s: float) -> Answer:
        """Raises Unanswered where the connection has ended before."""
        if self._transport is None:
            raise Unanswered
        self._answer = Answer(self._transport, read_s)
        self._transport.write(request)
        return self._answer

    async def drained(self, write_s: float) -> None:
        """Waits until most of a long request is gone. Raises httpcore2.WriteTimeout."""
        if self._drained is None:
            return
        try:
            async with asyncio.timeout(write_s):
                await self._drained
        except TimeoutError:
            raise httpcore2.WriteTimeout from None

    def rest(self) -> None:
        """The answer was read to its end."""
        self._answer = None

    def close(self) -> None:
        """Ends what is under way with ReadError. Idempotent."""
        if self._answer is not None:
            self._answer.fail(httpcore2.ReadError("closed here"))
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()
        else:
            self._answer.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.resume_writing()
        if self._answer is None:
            return
        if exc is None:
            self._answer.end()
        else:
            self._answer.lose()

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None


async def connected(origin: httpcore2.Origin, connect_s: float) -> PlainConnection:
    """Raises httpcore2's ConnectTimeout or ConnectError."""
    try:
        async with asyncio.timeout(connect_s):
            return await _connected_to_any(origin)
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout from error
    except OSError as error:
        raise httpcore2.ConnectError from error


async def _connected_to_any(origin: httpcore2.Origin) -> PlainConnection:
    """One address of the host after another. Raises OSError with the last one's failure."""
    loop = asyncio.get_running_loop()
    host = origin.host.decode("ascii")
    found = await loop.getaddrinfo(host, origin.port, type=socket.SOCK_STREAM)
    *others, last = dict.fromkeys(str(address[0]) for *_, address in found)
    for address in others:
        try:
            async with asyncio.timeout(_ADDRESS_S):
                return await _opened(address, origin.port)
        except OSError:
            continue
    return await _opened(last, origin.port)


async def _opened(address: str, port: int) -> PlainConnection:
    _, line = await asyncio.get_running_loop().create_connection(PlainConnection, address, port)
    return line
