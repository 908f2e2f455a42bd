"""Owns where responses are kept: as bytes by id, bounded, the least recently used going first.

Knows nothing of what the bytes mean.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What is kept at most. One that alone is larger is not kept at all."""

    max_count: int
    max_bytes: int


class ResponseStore(Protocol):
    """Every operation sees the ones before it. `put` returns at once and fails in the log alone;
    the others raise ResponseStoreFailed.
    """

    def put(self, response_id: str, body: bytes) -> None: ...

    async def get(self, response_id: str) -> bytes | None:
        """Counts as a use. None where there is no such id, or no longer."""
        ...

    async def delete(self, response_id: str) -> bool:
        """Whether there was one."""
        ...

    async def close(self) -> None: ...


class MemoryStore:
    """Keeps responses until the process ends. Used by the event loop alone."""

    def __init__(self, limits: StoreLimits) -> None:
        self._limits = limits
        self._bodies: OrderedDict[str, bytes] = OrderedDict()
        self._num_bytes = 0

    def put(self, response_id: str, body: bytes) -> None:
        if is_too_large(response_id, body, self._limits):
            return
        self._drop(response_id)
        self._bodies[response_id] = body
        self._num_bytes += len(body)
        while self._is_over_full:
            self._drop(next(iter(self._bodies)))

    async def get(self, response_id: str) -> bytes | None:
        body = self._bodies.get(response_id)
        if body is not None:
            self._bodies.move_to_end(response_id)
        return body

    async def delete(self, response_id: str) -> bool:
        return self._drop(response_id)

    async def close(self) -> None:
        self._bodies.clear()
        self._num_bytes = 0

    @property
    def _is_over_full(self) -> bool:
        is_crowded = len(self._bodies) > self._limits.max_count
        return is_crowded or self._num_bytes > self._limits.max_bytes

    def _drop(self, response_id: str) -> bool:
        body = self._bodies.pop(response_id, None)
        self._num_bytes -= len(body or b"")
        return body is not None


def is_too_large(response_id: str, body: bytes, limits: StoreLimits) -> bool:
    """Says so in the log."""
    if len(body) <= limits.max_bytes:
        return False
    logger.warning("response=%s bytes=%d is not kept: too large", response_id, len(body))
    return True
