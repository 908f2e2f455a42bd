"""Serves an ASGI application as production does: on its event loop, with its connections."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hosting.connection import connection_class
from hosting.connection_limits import ConnectionLimits, ConnectionStats
from tests.engines import listener_on_loopback

LOOP = "hosting.event_loop:EventLoop"
LIMITS = ConnectionLimits(
    header_timeout_s=60,
    body_timeout_s=60,
    stall_timeout_s=60,
    url_bytes=8192,
    header_bytes=65536,
    connections=64,
)


@dataclass(frozen=True)
class Hosted:
    """Where it listens, what it counted, and which of its connections live."""

    port: int
    stats: ConnectionStats
    server: uvicorn.Server

    @property
    def num_open(self) -> int:
        return len(self.server.server_state.connections)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=4)

    def ask(self, sent: bytes) -> bytes:
        """All that comes back, until the server closes."""
        with self.connect() as client:
            client.sendall(sent)
            return read_all(client)


@contextmanager
def hosted(app: ASGIApp, context: ssl.SSLContext | None = None, **changes: Any) -> Iterator[Hosted]:
    """In a thread of its own, so that tests may block."""
    stats = ConnectionStats()
    with listener_on_loopback() as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            loop=LOOP,
            http=connection_class(replace(LIMITS, **changes), stats),
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off" if isinstance(app, Probe) else "on",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
            ssl_context_factory=None if context is None else lambda _, __: context,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Hosted(port, stats, server)
        finally:
            server.should_exit = True
            thread.join()


class Probe:
    """An application that says what it was asked, and notes when a client went away."""

    def __init__(self, answer: bytes = b"ok") -> None:
        self.answer = answer
        self.forget()

    def forget(self) -> None:
        self.scopes: list[Scope] = []
        self.is_gone = threading.Event()
        self.is_waiting = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["path"] == "/wait":
            await self._wait(receive)
        body = await _whole(receive) if scope["path"] == "/body" else self.answer
        await send({"type": "http.response.start", "status": 200, "headers": [_length(body)]})
        await send({"type": "http.response.body", "body": body})

    async def _wait(self, receive: Receive) -> None:
        self.is_waiting.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.is_gone.set()


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message: Message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


def _length(body: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % len(body))


def read_all(client: socket.socket) -> bytes:
    got = b""
    while piece := client.recv(65536):
        got += piece
    return got


def read_one(client: socket.socket) -> bytes:
    """One answer that says its length, and nothing of the next."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _some(client, 1)
    left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    body = b""
    while len(body) < left:
        body += _some(client, left - len(body))
    return head + body


def _some(client: socket.socket, length: int) -> bytes:
    piece = client.recv(length)
    assert piece, "the server closed before its answer was whole"
    return piece
