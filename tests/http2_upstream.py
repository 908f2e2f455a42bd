"""Owns a server on loopback that speaks HTTP/2 over TLS, as far as tests of a client need it.

The first request of each connection gets the answer; whether a client stays is what it tells.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

from tests.faulty_upstream import LOOPBACK

Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Http2Upstream:
    """`pieces` are the body of every answer; without an end the stream stays open behind them, and
    without headers nothing is answered at all.
    """

    headers: Headers
    pieces: tuple[bytes, ...]
    has_end: bool
    port: int = 0
    num_connections: int = 0
    num_requests: int = 0
    bodies: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    is_gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        try:
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    self._answer(connection, event)
                writer.write(connection.data_to_send())
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.is_gone.set()
            writer.close()

    def _answer(self, connection: h2.connection.H2Connection, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            self.bodies.append(event.data or b"")
        if not isinstance(event, h2.events.StreamEnded):
            return
        self.num_requests += 1
        self.asked.set()
        if self.headers:
            connection.send_headers(event.stream_id, self.headers)
            for piece in self.pieces:
                connection.send_data(event.stream_id, piece)
            if self.has_end:
                connection.end_stream(event.stream_id)


@asynccontextmanager
async def http2_upstream(
    tls: ssl.SSLContext, headers: Headers, *pieces: bytes, has_end: bool = True
) -> AsyncIterator[Http2Upstream]:
    """`tls` offers h2."""
    upstream = Http2Upstream(headers, pieces, has_end)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(upstream.serve(reader, writer)))

    server = await asyncio.start_server(connected, LOOPBACK, 0, ssl=tls)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
