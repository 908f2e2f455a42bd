"""Owns one connection of a client: a request out, the answer in, as slowly and as far as wanted.

Knows nothing of what is right: it tells what came.
"""

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass, field
from enum import Enum, auto

import httptools

from benchmarks.client.wire import EventReader
from soak.ask import Abort, Ask, Point
from soak.stream_check import StreamCheck

HOST = "127.0.0.1"
# Longer than any answer waits: a server that is silent for so long hangs.
SILENCE_S = 150.0
_READ_BYTES = 1 << 16
_SMALL_BUFFER = 4096
_KEPT_BODY = 1 << 20


class Ended(Enum):
    """WHOLE: the answer came to its end. ABORTED: the client left. DROPPED: the server did."""

    WHOLE = auto()
    ABORTED = auto()
    DROPPED = auto()


@dataclass(slots=True)
class Reply:
    """What came. `is_sent`: the whole head went out, so that the server has seen a request."""

    check: StreamCheck | None = None
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended: Ended = Ended.ABORTED
    is_sent: bool = True
    detail: str = ""
    first_text_s: float | None = None
    gaps_s: list[float] = field(default_factory=list)


class _Left(Exception):
    """The client leaves here."""


class _Reading:
    """The answer to one request, out of bytes as they come. httptools calls the on_ methods."""

    def __init__(self, ask: Ask) -> None:
        self.reply = Reply()
        self.is_complete = False
        self.keeps_alive = False
        self._ask = ask
        self._events = EventReader()
        self._parser = httptools.HttpResponseParser(self)
        self._sent_s = self._text_s = time.perf_counter()

    def feed(self, received: bytes) -> None:
        """Raises _Left where the client wanted to see no more, HttpParserError for no HTTP."""
        self._parser.feed_data(received)
        abort, check = self._ask.abort, self.reply.check
        if abort is None or check is None or self.is_complete:
            return
        is_far = abort.point is Point.MID_STREAM and check.num_events >= abort.num_events
        if is_far or (abort.point is Point.LAST_FRAME and check.is_text_over):
            raise _Left

    def on_header(self, name: bytes, value: bytes) -> None:
        self.reply.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.reply.status = self._parser.get_status_code()
        kind = self.reply.headers.get("content-type", "")
        if kind.startswith("text/event-stream"):
            self.reply.check = StreamCheck(self._ask.form)

    def on_body(self, body: bytes) -> None:
        check = self.reply.check
        if check is None:
            self.reply.body += body[: _KEPT_BODY - len(self.reply.body)]
            return
        texts = [check.take(data) for data in self._events.feed(body)]
        if any(texts):
            self._time_text()

    def on_message_complete(self) -> None:
        self.is_complete = True
        # Only now is it known: the parser forgets it afterwards.
        self.keeps_alive = self._parser.should_keep_alive()

    def _time_text(self) -> None:
        now_s = time.perf_counter()
        if self.reply.first_text_s is None:
            self.reply.first_text_s = now_s - self._sent_s
        else:
            self.reply.gaps_s.append(now_s - self._text_s)
        self._text_s = now_s


class Connection:
    """Keep-alive, opened when it is needed. Use for one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, ask: Ask, headers: dict[str, str]) -> Reply:
        """Whatever happens is in the reply."""
        head = _head(ask, {**headers, "host": f"{HOST}:{self._port}"})
        reading = _Reading(ask)
        reply = reading.reply
        reply.is_sent = False
        try:
            reader, writer = await self._opened(is_small=ask.pace is not None)
            await self._send(ask, head, writer, reply)
            await asyncio.wait_for(_read(ask, reader, reading), _limit_s(ask.abort))
            reply.ended = Ended.WHOLE
        except _Left:
            reply.ended = Ended.ABORTED
        except TimeoutError:
            is_wanted = ask.abort is not None and ask.abort.point is Point.AFTER_WAIT
            reply.ended = Ended.ABORTED if is_wanted else Ended.DROPPED
            reply.detail = "" if is_wanted else f"nothing came for {SILENCE_S:g} s"
        except (OSError, EOFError, httptools.HttpParserError) as error:
            reply.ended = Ended.DROPPED
            reply.detail = f"{type(error).__name__}: {error}"
        if not reading.keeps_alive or reply.ended is not Ended.WHOLE or ask.pace is not None:
            self.close()
        return reply

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _opened(self, *, is_small: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if is_small:
            self.close()
        if self._reader is None or self._writer is None:
            peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            if is_small:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
            limit = _SMALL_BUFFER if is_small else _READ_BYTES
            self._reader, self._writer = await _connected(peer, self._port, limit)
        return self._reader, self._writer

    async def _send(
        self, ask: Ask, head: bytes, writer: asyncio.StreamWriter, reply: Reply
    ) -> None:
        point = None if ask.abort is None else ask.abort.point
        body = ask.body or b""
        if point is Point.IN_HEAD:
            head, body = head[: len(head) // 2], b""
        elif point is Point.IN_BODY:
            body = body[: len(body) // 2]
        reply.is_sent = point is not Point.IN_HEAD
        writer.write(head + body)
        if point in (Point.IN_HEAD, Point.IN_BODY, Point.AT_ONCE):
            raise _Left
        # A refusal may come before all of a large body is read: it is read all the same.
        with contextlib.suppress(ConnectionError):
            await writer.drain()


async def _connected(
    peer: socket.socket, port: int, limit: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    peer.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(peer, (HOST, port))
    except BaseException:
        peer.close()
        raise
    return await asyncio.open_connection(sock=peer, limit=limit)


def _limit_s(abort: Abort | None) -> float | None:
    return abort.wait_s if abort is not None and abort.point is Point.AFTER_WAIT else None


async def _read(ask: Ask, reader: asyncio.StreamReader, reading: _Reading) -> None:
    """To the answer's end. Raises EOFError where the connection ends before, TimeoutError where
    nothing comes.
    """
    if ask.pace is not None:
        await _read_slowly(ask, reader, reading)
    while not reading.is_complete:
        received = await asyncio.wait_for(reader.read(_READ_BYTES), SILENCE_S)
        if not received:
            raise EOFError("the connection ended before the answer did")
        reading.feed(received)


async def _read_slowly(ask: Ask, reader: asyncio.StreamReader, reading: _Reading) -> None:
    assert ask.pace is not None
    if ask.pace.reads_nothing:
        await asyncio.sleep(ask.pace.slow_s)
        return
    end_s = time.perf_counter() + ask.pace.slow_s
    while not reading.is_complete and time.perf_counter() < end_s:
        received = await asyncio.wait_for(reader.read(1), SILENCE_S)
        if not received:
            raise EOFError("the connection ended before the answer did")
        reading.feed(received)
        await asyncio.sleep(1)


def _head(ask: Ask, headers: dict[str, str]) -> bytes:
    lines = [f"{ask.method} {ask.path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
    if ask.body is not None:
        lines += [f"content-type: {ask.content_type}", f"content-length: {len(ask.body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
