"""Owns how the body of an answer is read whole, within bounds, and what a whole answer may be.

Knows no streams of events.
"""

import asyncio
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
# A refusal may name every field that is wrong, and is passed on as it is.
MAX_REFUSAL = 1024 * 1024
# So many bytes are read before others run; each piece is as much work as so many.
_WORK_IN_A_ROW = 64 * 1024
_PIECE_WORK = 1024


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
        self._work = 0
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
        # In one place: of pieces of a byte each, millions would be held.
        start = bytearray()
        while len(start) < max_bytes and (piece := await self.next_piece()) is not None:
            start += piece[: max_bytes - len(start)]
        return bytes(start)

    async def next_piece(self) -> bytes | None:
        """None at the body's end. A server that sends a lot, or many tiny pieces, holds up nobody
        else: taking what is there already would let nobody run.
        """
        if self._work >= _WORK_IN_A_ROW:
            self._work = 0
            await asyncio.sleep(0)
        piece = await anext(self.pieces, None)
        self._work += _PIECE_WORK + len(piece or b"")
        return piece

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
    if len(body) > MAX_ERROR or not body.lstrip().startswith(b"{"):
        return None
    parts = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    if parts.keys() & {"choices", "data", "output", "results"}:
        return None
    value: dict[str, Any] = msgspec.json.decode(body)
    return value if is_error(value) else None
