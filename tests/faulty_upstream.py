"""Owns a server on loopback that answers by a script, faults included, and remembers its requests.

Speaks just enough HTTP/1.1. An answer is a tuple of steps: bytes are sent as they are, the other
steps are what goes wrong. What good answers look like is in tests/upstream_answers.py.

    async with faulty_upstream(status(503), chat_stream("a", "b")) as server:
        ...  # server.url, server.requests, server.kill()

The first request gets the first answer, and so on; the last answer is given again and again.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

LOOPBACK = "127.0.0.1"


class Fault(Enum):
    """HANG: nothing more comes, until the client goes. RESET: the connection is reset. CLOSE: it is
    closed as after a full answer.
    """

    HANG = auto()
    RESET = auto()
    CLOSE = auto()


HANG, RESET, CLOSE = Fault.HANG, Fault.RESET, Fault.CLOSE


@dataclass(frozen=True, slots=True)
class Slowly:
    """`data` in pieces of `size` bytes with `pause_s` between them."""

    data: bytes
    pause_s: float
    size: int = 1


@dataclass(frozen=True, slots=True)
class Endlessly:
    """`data` again and again, until the client goes."""

    data: bytes


# An event holds the answer back until it is set.
Step = bytes | Fault | Slowly | Endlessly | asyncio.Event
Steps = tuple[Step, ...]


@dataclass(slots=True)
class SeenRequest:
    """`path` as it was sent, names of headers in small letters. `connection` counts from 0.
    `was_answered`: all steps were done; `is_gone`: the client went before that.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    was_answered: asyncio.Event = field(default_factory=asyncio.Event)
    is_gone: asyncio.Event = field(default_factory=asyncio.Event)


Answer = Steps | Callable[[SeenRequest], Steps]


class _Script:
    """Answers in their order, the last one again and again."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self._answers = list(answers)

    def next(self, request: SeenRequest) -> Steps:
        if not self._answers:
            return (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",)
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.pop(0)
        return answer(request) if callable(answer) else answer


class FaultyUpstream:
    """One server. `url` is the base that paths such as `models` stand behind."""

    def __init__(self, answers: Sequence[Answer], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[SeenRequest] = []
        self.num_connections = 0
        self.host = LOOPBACK
        self.port = 0
        self._tls = tls
        self._default = _Script(answers)
        self._by_path: dict[str, _Script] = {}
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    @property
    def num_open(self) -> int:
        """Connections that both sides still hold."""
        return len(self._connections)

    def answer(self, *answers: Answer) -> None:
        """From now on these are the answers, to paths that have none of their own."""
        self._default = _Script(answers)

    def answer_path(self, path: str, *answers: Answer) -> None:
        """`path` as it stands in the request, such as `/v1/models`."""
        self._by_path[path] = _Script(answers)

    async def start(self) -> None:
        """Listens; after `kill` on the same port as before."""
        self._server = await asyncio.start_server(
            self._connected, self.host, self.port, ssl=self._tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """Stops listening and resets what is open, as a process that dies."""
        if self._server is not None:
            self._server.close()
        tasks = list(self._connections)
        for task, writer in self._connections.items():
            _reset(writer)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Waits for a condition that requests and connections decide."""
        async with self._changed:
            await self._changed.wait_for(is_so)

    async def seen(self, count: int = 1) -> SeenRequest:
        """Waits until so many requests have come, and gives the last of them."""
        await self.until(lambda: len(self.requests) >= count)
        return self.requests[count - 1]

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        number, self.num_connections = self.num_connections, self.num_connections + 1
        try:
            await self._serve(_Reading(reader), writer, number)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            del self._connections[task]
            await self._note()

    async def _serve(
        self, reading: "_Reading", writer: asyncio.StreamWriter, connection: int
    ) -> None:
        while (request := await reading.request(connection)) is not None:
            self.requests.append(request)
            await self._note()
            script = self._by_path.get(request.path, self._default)
            answering = asyncio.ensure_future(_play(script.next(request), writer))
            try:
                is_done = await reading.wait_beside(answering)
            finally:
                answering.cancel()
            (request.was_answered if is_done else request.is_gone).set()
            await self._note()
            if not is_done or not answering.result():
                return


class _Reading:
    """Reads requests, and notices a client that goes while it is answered."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._first = asyncio.ensure_future(reader.read(1))

    async def request(self, connection: int) -> SeenRequest | None:
        first = await self._first
        if not first:
            return None
        head = first + await self._reader.readuntil(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").strip().split("\r\n")
        method, path, _ = line.split(" ")
        pairs = (each.split(":", 1) for each in lines)
        headers = {name.lower(): value.strip() for name, value in pairs}
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        self._first = asyncio.ensure_future(self._reader.read(1))
        return SeenRequest(method, path, headers, body, connection)

    async def wait_beside(self, answering: "asyncio.Future[bool]") -> bool:
        """Whether the answering came to its end before the client went."""
        waits: set[asyncio.Future[Any]] = {answering, self._first}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done() and self._first.exception() is None and self._first.result():
            await asyncio.wait({answering})
        return answering.done() and answering.exception() is None


async def _play(steps: Steps, writer: asyncio.StreamWriter) -> bool:
    """Whether the connection can take another request."""
    for step in steps:
        match step:
            case bytes():
                writer.write(step)
                await writer.drain()
            case asyncio.Event():
                await step.wait()
            case Slowly(data, pause_s, size):
                for start in range(0, len(data), size):
                    writer.write(data[start : start + size])
                    await asyncio.sleep(pause_s)
            case Endlessly(data):
                while True:
                    writer.write(data)
                    await writer.drain()
                    await asyncio.sleep(0)
            case Fault.HANG:
                await asyncio.Event().wait()
            case Fault.RESET:
                _reset(writer)
                return False
            case Fault.CLOSE:
                return False
    return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends with RST, after what was written has left: an abort throws nothing away on loopback."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def faulty_upstream(
    *answers: Answer,
    paths: Mapping[str, Answer] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[FaultyUpstream]:
    """`paths` have an answer of their own, such as `/v1/models`."""
    server = FaultyUpstream(answers, tls)
    for path, answer in (paths or {}).items():
        server.answer_path(path, answer)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


@contextmanager
def refusing_url() -> Iterator[str]:
    """The base URL of a port that nobody listens on, and that nobody else gets meanwhile."""
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        yield f"http://{LOOPBACK}:{held.getsockname()[1]}/v1"
