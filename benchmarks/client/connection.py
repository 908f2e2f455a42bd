"""Owns one keep-alive connection: a request out, a stream of events with their times in."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import msgspec

from benchmarks.client.events import END, read_chunk
from benchmarks.client.plan import Answer
from benchmarks.client.wire import EventReader, ResponseReader, WireError

_SHOWN = 300


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class Exchange:
    """A request under way. `on_event` is called at each event that carries text."""

    answer: Answer
    on_event: Callable[[], None]
    done: asyncio.Future[None] = field(default_factory=_future)
    response: ResponseReader = field(default_factory=ResponseReader)
    events: EventReader = field(default_factory=EventReader)
    texts: list[str] = field(default_factory=list)
    refused: bytearray = field(default_factory=bytearray)

    @property
    def has_begun(self) -> bool:
        return self.response.status is not None

    def start_again(self) -> None:
        """As if nothing had been sent; the time goes on."""
        self.answer.error = None
        self.done = _future()

    def take(self, received: bytes, now_s: float) -> None:
        """Raises WireError, or msgspec.DecodeError for a chunk that is no JSON."""
        body = self.response.feed(received)
        if self.response.status not in (None, 200):
            self.refused += body
        else:
            for data in self.events.feed(body):
                self._take_event(data, now_s)
        if self.response.is_complete:
            self.finish(now_s)

    def _take_event(self, data: bytes, now_s: float) -> None:
        if data == END:
            return
        chunk = read_chunk(data)
        if chunk.error is not None:
            self.answer.error = data[:_SHOWN].decode(errors="replace")
        if chunk.text:
            self.texts.append(chunk.text)
            self.answer.event_times_s.append(now_s)
            self.on_event()
        self.answer.finish_reason = chunk.finish_reason or self.answer.finish_reason
        if chunk.usage is not None:
            self.answer.num_prompt_tokens = chunk.usage.prompt_tokens
            self.answer.num_tokens = chunk.usage.completion_tokens
            self.answer.num_cached_tokens = chunk.usage.num_cached

    def finish(self, now_s: float, error: str | None = None) -> None:
        """Ends it once; the first error stands."""
        self.answer.ended_s = now_s
        if self.refused:
            text = self.refused[:_SHOWN].decode(errors="replace")
            error = f"status {self.response.status}: {text}"
        self.answer.error = self.answer.error or error
        if not self.done.done():
            self.done.set_result(None)


class _Line(asyncio.Protocol):
    """One connection, opened once, with one exchange at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self.is_used = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes, exchange: Exchange) -> None:
        """Returns at the answer's end, whatever it is."""
        assert self._transport is not None
        self._exchange = exchange
        self._transport.write(request)
        await exchange.done
        self._exchange = None
        self.is_used = True
        if not exchange.response.keeps_alive:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now_s = time.perf_counter()
        if self._exchange is None:
            return
        try:
            self._exchange.take(data, now_s)
        except (WireError, msgspec.DecodeError) as error:
            self._exchange.finish(now_s, str(error))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._exchange is not None:
            self._exchange.finish(time.perf_counter(), f"the connection ended: {exc}")


class Connection:
    """Keep-alive: opened again where the server has closed it in between."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._host, self._port, self._path = host, port, path
        self._line = _Line()

    async def ask(self, body: Mapping[str, object], exchange: Exchange) -> str:
        """The whole text. What goes wrong is put down in the exchange's answer."""
        payload = msgspec.json.encode(body)
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
            "Content-Type: application/json\r\nAccept: text/event-stream\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n"
        )
        request = head.encode() + payload
        exchange.answer.sent_s = time.perf_counter()
        line = await self._opened()
        was_used = line.is_used
        await line.send(request, exchange)
        if was_used and not exchange.has_begun and exchange.answer.error:
            # The server gave up the idle connection at that moment: no fault of either.
            exchange.start_again()
            line = await self._opened()
            await line.send(request, exchange)
        return "".join(exchange.texts)

    def close(self) -> None:
        self._line.close()

    async def _opened(self) -> _Line:
        if not self._line.is_open:
            loop = asyncio.get_running_loop()
            _, self._line = await loop.create_connection(_Line, self._host, self._port)
        return self._line
