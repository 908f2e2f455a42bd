"""Reads HTTP/1.1 answers and server-sent events out of bytes cut anywhere. Opens no connection."""

from dataclasses import dataclass, field
from enum import Enum

_LINE = b"\r\n"


class WireError(Exception):
    """The bytes are no HTTP/1.1 answer that this reader knows."""


class _Body(Enum):
    HEAD = "head"
    SIZED = "sized"
    CHUNK_SIZE = "chunk size"
    CHUNK = "chunk"
    CHUNK_END = "chunk end"
    TRAILERS = "trailers"
    DONE = "done"


@dataclass(slots=True)
class ResponseReader:
    """One answer: its status, then its body as it comes, chunked or of a known length."""

    status: int | None = None
    keeps_alive: bool = True
    _state: _Body = _Body.HEAD
    _buffer: bytearray = field(default_factory=bytearray)
    _left: int = 0

    @property
    def is_complete(self) -> bool:
        return self._state is _Body.DONE

    def feed(self, received: bytes) -> bytes:
        """The body's bytes among what was received. Raises WireError."""
        self._buffer += received
        body = bytearray()
        while self._step(body):
            pass
        return bytes(body)

    def _step(self, body: bytearray) -> bool:
        """Whether there was enough to go on with."""
        if self._state in (_Body.SIZED, _Body.CHUNK):
            return self._take(body)
        if self._state is _Body.DONE:
            return False
        end = self._buffer.find(_LINE * 2 if self._state is _Body.HEAD else _LINE)
        if end < 0:
            return False
        part = bytes(self._buffer[:end])
        del self._buffer[: end + (4 if self._state is _Body.HEAD else 2)]
        self._read_part(part)
        return True

    def _take(self, body: bytearray) -> bool:
        taken = min(self._left, len(self._buffer))
        body += self._buffer[:taken]
        del self._buffer[:taken]
        self._left -= taken
        if self._left:
            return False
        self._state = _Body.CHUNK_END if self._state is _Body.CHUNK else _Body.DONE
        return True

    def _read_part(self, part: bytes) -> None:
        if self._state is _Body.HEAD:
            self._read_head(part)
        elif self._state is _Body.CHUNK_SIZE:
            self._left = _number(part.partition(b";")[0], 16)
            self._state = _Body.CHUNK if self._left else _Body.TRAILERS
        elif self._state is _Body.CHUNK_END:
            if part:
                raise WireError(f"a chunk is longer than it says: {part[:20]!r}")
            self._state = _Body.CHUNK_SIZE
        elif not part:
            self._state = _Body.DONE

    def _read_head(self, head: bytes) -> None:
        status_line, *lines = head.split(_LINE)
        words = status_line.split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1."):
            raise WireError(f"no HTTP/1.1 status line: {status_line[:80]!r}")
        self.status = _number(words[1], 10)
        pairs = (line.partition(b":") for line in lines)
        headers = {name.strip().lower(): value.strip().lower() for name, _, value in pairs}
        self.keeps_alive = headers.get(b"connection") != b"close"
        if headers.get(b"transfer-encoding") == b"chunked":
            self._state = _Body.CHUNK_SIZE
            return
        if b"content-length" not in headers:
            raise WireError("the body is neither chunked nor of a known length")
        self._left = _number(headers[b"content-length"], 10)
        self._state = _Body.SIZED if self._left else _Body.DONE


@dataclass(slots=True)
class EventReader:
    """Server-sent events: the data of each that is whole. Comments and other fields are skipped."""

    _buffer: bytearray = field(default_factory=bytearray)
    _data: list[bytes] = field(default_factory=list)

    def feed(self, received: bytes) -> list[bytes]:
        """The data of the events that these bytes complete."""
        self._buffer += received
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        whole: list[bytes] = []
        for line in (line.removesuffix(b"\r") for line in lines):
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                whole.append(b"\n".join(self._data))
                self._data = []
        return whole


def _number(text: bytes, base: int) -> int:
    try:
        return int(text.strip(), base)
    except ValueError:
        raise WireError(f"no number: {text[:20]!r}") from None
