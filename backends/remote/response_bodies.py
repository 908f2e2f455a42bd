"""Owns how the body of an answer is read whole, within bounds, and what a whole answer may be.

Knows no streams of events.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import httpcore2
import msgspec

from backends.remote.beginnings import is_error

# Vectors for the largest request that our own API takes are some 30 MiB of JSON.
MAX_ANSWER = 64 * 1024 * 1024
# The lists and numbers that servers tell of themselves.
MAX_DOCUMENT = 8 * 1024 * 1024
# Errors are read by people: nothing is lost behind that.
MAX_ERROR = 64 * 1024


class BodyTooLarge(Exception):
    """There is more than was allowed; the rest was not read."""


class Incoming:
    """A response whose headers have come. It has to be closed, however its reading ends."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers
        }
        self.pieces: AsyncIterator[bytes] = aiter(response.stream)  # type: ignore[arg-type]

    @property
    def media_type(self) -> str:
        """As the server names it, with what it says of the encoding."""
        return self.headers.get("content-type", "")

    @property
    def is_event_stream(self) -> bool:
        bare = self.media_type.partition(";")[0].strip().lower()
        return bare in ("text/event-stream", "")

    @property
    def is_encoded(self) -> bool:
        """Whether it is compressed, though that was declined."""
        return self.headers.get("content-encoding", "identity").strip().lower() not in (
            "",
            "identity",
        )

    async def read(self, max_bytes: int) -> bytes:
        """Raises BodyTooLarge, and what the connections raise."""
        body = await self.read_start(max_bytes + 1)
        if len(body) > max_bytes:
            raise BodyTooLarge
        return body

    async def read_start(self, max_bytes: int) -> bytes:
        """No more than that; the rest is left unread."""
        parts: list[bytes] = []
        missing = max_bytes
        while missing > 0 and (piece := await anext(self.pieces, None)) is not None:
            parts.append(piece[:missing])
            missing -= len(piece)
        return b"".join(parts)

    async def close(self) -> None:
        """Frees the connection, for another request where this one was read to its end."""
        await self._response.aclose()
        # Its generators end here and not when they are collected. One that is being read by
        # another task ends there, because its connection is closed.
        with suppress(RuntimeError):
            await self.pieces.aclose()  # type: ignore[attr-defined]


def is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        return body.isascii() or bool(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def error_of(body: bytes) -> dict[str, Any] | None:
    """The object of a body that is nothing but an error, though its status says success."""
    if not body.lstrip().startswith(b"{"):
        return None
    parts = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if parts.keys() & {"choices", "data", "output", "results"} or len(body) > MAX_ERROR:
        return None
    value: dict[str, Any] = msgspec.json.decode(body)
    return value if is_error(value) else None
