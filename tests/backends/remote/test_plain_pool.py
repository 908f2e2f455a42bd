"""Connections without encryption that are used again, and those that must not be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpcore2
import pytest

from backends.remote.plain_pool import PlainPool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
TIMEOUTS = {"connect": 2.0, "read": 2.0, "write": 2.0}


@dataclass
class Server:
    """Answers every request alike, and counts. `closes` ends a connection behind an answer."""

    port: int = 0
    closes: bool = False
    answer: bytes = OK
    received: list[bytes] = field(default_factory=list)
    num_connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        self.writers.append(writer)
        while head := await _head(reader):
            self.received.append(head)
            writer.write(self.answer)
            if self.closes:
                break
        writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


@asynccontextmanager
async def served(server: Server, max_idle: int = 2) -> AsyncIterator[PlainPool]:
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    pool = PlainPool(keepalive_s=60.0, max_idle=max_idle)
    async with listening:
        try:
            yield pool
        finally:
            await pool.aclose()
            for writer in server.writers:
                writer.close()


def request(server: Server, **headers: str) -> httpcore2.Request:
    return httpcore2.Request(
        "GET",
        httpcore2.URL(scheme=b"http", host=b"127.0.0.1", port=server.port, target=b"/models"),
        headers=[(name.encode(), value.encode()) for name, value in headers.items()],
        extensions={"timeout": TIMEOUTS},
    )


async def ask(pool: PlainPool, server: Server) -> bytes:
    response = await pool.handle_async_request(request(server))
    try:
        return await response.aread()
    finally:
        await response.aclose()


async def test_a_connection_is_used_again() -> None:
    server = Server()
    async with served(server) as pool:
        assert [await ask(pool, server) for _ in range(3)] == [b"ok"] * 3
    assert server.num_connections == 1
    assert server.received[0] == b"GET /models HTTP/1.1\r\n\r\n"


async def test_one_that_the_server_closed_is_not_asked() -> None:
    server = Server(closes=True)
    async with served(server) as pool:
        assert [await ask(pool, server) for _ in range(3)] == [b"ok"] * 3
    assert (server.num_connections, len(server.received)) == (3, 3)


async def test_as_many_are_open_as_are_asked_at_once_and_few_stay() -> None:
    server = Server()
    async with served(server, max_idle=2) as pool:
        assert await asyncio.gather(*(ask(pool, server) for _ in range(5))) == [b"ok"] * 5
        await asyncio.gather(*(ask(pool, server) for _ in range(5)))
    assert server.num_connections == 8


async def test_an_answer_that_was_not_read_costs_its_connection() -> None:
    server = Server()
    async with served(server) as pool:
        response = await pool.handle_async_request(request(server))
        await response.aclose()
        await ask(pool, server)
    assert server.num_connections == 2


async def test_old_connections_are_not_asked() -> None:
    server = Server()
    async with served(server):
        pool = PlainPool(keepalive_s=0.0, max_idle=2)
        await ask(pool, server)
        await ask(pool, server)
        await pool.aclose()
    assert server.num_connections == 2


async def test_closing_ends_what_is_being_read() -> None:
    server = Server(answer=OK[:-1])
    async with served(server) as pool:
        response = await pool.handle_async_request(request(server))
        reading = asyncio.ensure_future(response.aread())
        await asyncio.sleep(0)
        await pool.aclose()
        with pytest.raises(httpcore2.ReadError):
            await reading
        await response.aclose()


async def test_a_line_end_in_a_header_is_never_sent() -> None:
    server = Server()
    async with served(server) as pool:
        with pytest.raises(httpcore2.LocalProtocolError):
            await pool.handle_async_request(request(server, x="1\r\ny: 2"))
        await ask(pool, server)
    assert len(server.received) == 1
