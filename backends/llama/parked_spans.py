"""Owns the ordinary memory that computed prefixes are parked in. Knows nothing of what they hold.

Spans come and go in all sizes. Where each had memory of its own, the heap between them filled with
gaps that are never given back; and fresh memory costs several times the copy itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Small, for the last one of a span is not full.
_BLOCK_BYTES = 16 * 1024
_SLAB_BLOCKS = 256
# Beyond it malloc asks the system for memory, and gives it back as a whole.
_OWN_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Span:
    """In blocks, or beyond _OWN_BYTES in memory of its own."""

    size: int
    blocks: tuple[Bytes, ...]

    @property
    def is_in_blocks(self) -> bool:
        return self.size <= _OWN_BYTES


class ParkedSpans:
    """Spans by number, each in as many blocks as it needs; what one leaves the next one takes.

    There are as many blocks as were ever needed at once.
    """

    def __init__(self) -> None:
        self._spans: dict[int, _Span] = {}
        self._free: list[Bytes] = []
        self._passing = np.empty(0, dtype=np.uint8)

    def passing(self, size: int) -> Bytes:
        """Memory for a moment: the next call of any method overwrites it."""
        if self._passing.size < size:
            self._passing = np.empty(size, dtype=np.uint8)
        return self._passing[:size]

    def keep(self, number: int, size: int, fill: Callable[[Bytes], None]) -> None:
        """`fill` writes the content, all `size` bytes of it; what it raises keeps nothing."""
        if size > _OWN_BYTES:
            fill(content := np.empty(size, dtype=np.uint8))
            self._spans[number] = _Span(size, (content,))
            return
        fill(content := self.passing(size))
        starts = range(0, size, _BLOCK_BYTES)
        while len(self._free) < len(starts):
            self._free.extend(np.empty((_SLAB_BLOCKS, _BLOCK_BYTES), dtype=np.uint8))
        blocks = tuple(self._free.pop() for _ in starts)
        for start, block in zip(starts, blocks, strict=True):
            piece = content[start : start + _BLOCK_BYTES]
            block[: piece.size] = piece
        self._spans[number] = _Span(size, blocks)

    def read(self, number: int) -> Bytes:
        """The content, until the next call of any method."""
        span = self._spans[number]
        if not span.is_in_blocks:
            return span.blocks[0]
        content = self.passing(span.size)
        for start, block in zip(range(0, span.size, _BLOCK_BYTES), span.blocks, strict=True):
            piece = content[start : start + _BLOCK_BYTES]
            piece[:] = block[: piece.size]
        return content

    def discard(self, number: int) -> None:
        span = self._spans.pop(number)
        if span.is_in_blocks:
            self._free.extend(span.blocks)

    def clear(self) -> None:
        """Gives all memory back."""
        self._spans.clear()
        self._free.clear()
