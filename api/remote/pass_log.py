"""Writes the one line at the end of a request that other servers were asked. Never any text."""

import logging
import time
from typing import Annotated

import msgspec

logger = logging.getLogger(__name__)

_USAGE = b'"usage"'
# Servers write it last. It is not looked for in vectors that stand before it.
_MAX_TAIL_BYTES = 4096
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Usage(msgspec.Struct):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0


_decode = msgspec.json.Decoder(_Usage).decode


class PassLog:
    """Facts of one request."""

    def __init__(self, request_id: str, path: str) -> None:
        self._request_id = request_id
        self._path = path
        self._started_at = time.monotonic()
        self._first_s: float | None = None
        self._tail = b""

    def see(self, piece: bytes) -> None:
        """A whole body, or events of a stream."""
        if self._first_s is None:
            self._first_s = time.monotonic() - self._started_at
        found = piece.rfind(_USAGE, max(len(piece) - _MAX_TAIL_BYTES, 0))
        if found >= 0:
            self._tail = piece[found + len(_USAGE) :]

    def end(self, upstream: str, outcome: str) -> None:
        usage = self._usage()
        logger.info(
            "request=%s path=%s upstream=%s outcome=%s prompt_tokens=%s completion_tokens=%s "
            "first_s=%s total_s=%.3f",
            self._request_id,
            self._path,
            upstream,
            outcome,
            "-" if usage is None else usage.prompt_tokens,
            "-" if usage is None else usage.completion_tokens,
            "-" if self._first_s is None else f"{self._first_s:.3f}",
            time.monotonic() - self._started_at,
        )

    def _usage(self) -> _Usage | None:
        """The last one told: it is the server's, and may be anything."""
        text = self._tail.lstrip().removeprefix(b":")
        depth = 0
        for index, byte in enumerate(text):
            depth += (byte == _OPENS) - (byte == _CLOSES)
            if byte == _CLOSES and depth == 0:
                return _read(text[: index + 1])
        return None


_OPENS, _CLOSES = b"{}"


def _read(text: bytes) -> _Usage | None:
    try:
        return _decode(text)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return None
