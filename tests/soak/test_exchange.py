"""A client's connection, against a server that says what it is told to say."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from soak.ask import Abort, Ask, Form, Pace, Point
from soak.exchange import Connection, Ended, Reply

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TEXT = b'data: {"choices": [{"index": 0, "delta": {"content": "word"}}]}\n\n'
END = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
LAST = b"0\r\n\r\n"
SMALL = b"HTTP/1.1 429 X\r\nretry-after: 3\r\ncontent-length: 2\r\n\r\n{}"


def framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Server:
    """Sends `answer` to each request that came whole, and keeps all that came."""

    def __init__(self, answer: bytes, *, hangs_up: bool = False) -> None:
        self._answer = answer
        self._hangs_up = hangs_up
        self.received: list[bytes] = []
        self.connections: list[asyncio.StreamWriter] = []
        self.was_left = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        came = b""
        while received := await reader.read(1 << 16):
            came += received
            head, _, body = came.partition(b"\r\n\r\n")
            lengths = [line for line in head.split(b"\r\n") if line.startswith(b"content-length")]
            if lengths and len(body) == int(lengths[0].split(b":")[1]):
                self.received.append(came)
                came = b""
                writer.write(self._answer)
                if self._hangs_up:
                    break
        self.received += [came] if came else []
        writer.close()
        self.was_left.set()


@asynccontextmanager
async def serving(answer: bytes, *, hangs_up: bool = False) -> AsyncIterator[Server]:
    server = Server(answer, hangs_up=hangs_up)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for writer in server.connections:
            writer.close()
        await listener.wait_closed()


STREAM = HEAD + framed(TEXT) * 3 + framed(END) + framed(DONE) + LAST


def streamed(abort: Abort | None = None, pace: Pace | None = None) -> Ask:
    return Ask("test", "/chat", b'{"a": 1}', form=Form.CHAT, abort=abort, pace=pace)


async def asked(server: Server, ask: Ask) -> Reply:
    connection = Connection(server.port)
    try:
        return await connection.ask(ask, {"x-request-id": "soak-1"})
    finally:
        connection.close()


async def test_a_whole_stream_is_checked_and_timed() -> None:
    async with serving(STREAM) as server:
        reply = await asked(server, streamed())
    assert reply.ended is Ended.WHOLE
    assert reply.status == 200
    assert reply.check is not None
    assert reply.check.is_ended
    assert reply.check.texts == {0: "word" * 3}
    assert reply.first_text_s is not None
    assert b"x-request-id: soak-1" in server.received[0]


async def test_a_connection_is_used_again() -> None:
    async with serving(SMALL) as server:
        connection = Connection(server.port)
        replies = [await connection.ask(streamed(), {}) for _ in range(3)]
        connection.close()
    assert [reply.status for reply in replies] == [429] * 3
    assert replies[0].headers["retry-after"] == "3"
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("abort", "is_sent"),
    [(Abort(Point.IN_HEAD), False), (Abort(Point.IN_BODY), True), (Abort(Point.AT_ONCE), True)],
)
async def test_a_client_that_leaves_while_it_asks(abort: Abort, is_sent: bool) -> None:
    async with serving(STREAM) as server:
        reply = await asked(server, streamed(abort))
        await server.was_left.wait()
    assert reply.ended is Ended.ABORTED
    assert reply.is_sent is is_sent
    (came,) = server.received
    assert (b"\r\n\r\n" in came) is is_sent
    assert came.endswith(b"1}") is (abort.point is Point.AT_ONCE)


async def test_a_client_that_leaves_while_it_waits() -> None:
    async with serving(b"") as server:
        reply = await asked(server, streamed(Abort(Point.AFTER_WAIT, wait_s=0.01)))
        await server.was_left.wait()
    assert reply.ended is Ended.ABORTED
    assert reply.is_sent


@pytest.mark.parametrize(
    ("abort", "answer", "num_events"),
    [
        (Abort(Point.MID_STREAM, num_events=2), HEAD + framed(TEXT) * 2, 2),
        (Abort(Point.LAST_FRAME), HEAD + framed(TEXT) + framed(END), 2),
    ],
)
async def test_a_client_that_leaves_within_a_stream(
    abort: Abort, answer: bytes, num_events: int
) -> None:
    async with serving(answer) as server:
        reply = await asked(server, streamed(abort))
        await server.was_left.wait()
    assert reply.ended is Ended.ABORTED
    assert reply.check is not None
    assert reply.check.num_events == num_events


async def test_a_server_that_hangs_up_has_dropped_it() -> None:
    async with serving(HEAD + framed(TEXT), hangs_up=True) as server:
        reply = await asked(server, streamed())
    assert reply.ended is Ended.DROPPED
    assert "before the answer did" in reply.detail


async def test_what_is_no_http_is_dropped() -> None:
    async with serving(b"nonsense\r\n\r\n") as server:
        reply = await asked(server, streamed())
    assert reply.ended is Ended.DROPPED
    assert "Http" in reply.detail


async def test_a_slow_reader_gets_all_in_the_end() -> None:
    async with serving(STREAM) as server:
        reply = await asked(server, streamed(pace=Pace(0.01)))
    assert reply.ended is Ended.WHOLE
    assert reply.check is not None
    assert reply.check.is_ended


async def test_nobody_listens() -> None:
    async with serving(STREAM) as server:
        port = server.port
    reply = await Connection(port).ask(streamed(), {})
    assert reply.ended is Ended.DROPPED
    assert "refused" in reply.detail.lower()
    assert not reply.is_sent
