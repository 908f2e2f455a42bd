"""Sends bytes to a port and reads what comes as HTTP responses. Judges their framing alone."""

import asyncio
from dataclasses import dataclass, field

import httptools

# For more answers behind whole ones.
PATIENCE_S = 0.2
# For any. Far more than an answer takes, or a server waits for what it is not sent.
LIMIT_S = 20.0


@dataclass
class RawResponse:
    """One response as it came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False


class ResponseReader:
    """Takes bytes, gives responses. Raises httptools.HttpParserError for what is none."""

    def __init__(self) -> None:
        self.responses: list[RawResponse] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    @property
    def is_between(self) -> bool:
        """Whether all that has begun is whole, and something has."""
        return bool(self.responses) and all(each.is_whole for each in self.responses)

    def on_message_begin(self) -> None:
        self.responses.append(RawResponse())

    def on_header(self, name: bytes, value: bytes) -> None:
        self.responses[-1].headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.responses[-1].status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.responses[-1].body += body

    def on_message_complete(self) -> None:
        self.responses[-1].is_whole = True


@dataclass(frozen=True)
class Exchange:
    """What came back on one connection, and whether the server closed it."""

    responses: list[RawResponse]
    is_closed: bool


async def exchange(port: int, data: bytes, *, patience_s: float = PATIENCE_S) -> Exchange:
    """Sends, and reads until the connection is closed, or all that began is whole and no more
    comes. Fails with TimeoutError where nothing comes, or what began does not end.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    responses = ResponseReader()
    try:
        sending = asyncio.create_task(_send(writer, data))
        is_closed = await _read(reader, responses, patience_s)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        return Exchange(responses.responses, is_closed)
    finally:
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def _read(reader: asyncio.StreamReader, found: ResponseReader, patience_s: float) -> bool:
    """Whether the server closed the connection."""
    while True:
        wait_s = patience_s if found.is_between else LIMIT_S
        try:
            data = await asyncio.wait_for(reader.read(1 << 16), wait_s)
        except TimeoutError:
            if found.is_between:
                return False
            raise
        except ConnectionError:
            return True
        if not data:
            return True
        found.feed(data)
