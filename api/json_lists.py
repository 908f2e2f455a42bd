"""Owns how a long list becomes JSON: slice by slice, in a thread.

Millions of values in one go would hold up every stream, from whichever thread.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

_SLICE = 4096


async def written(
    values: Sequence[int], shown: Callable[[Sequence[int]], Sequence[Any]]
) -> msgspec.Raw:
    """The JSON list of what `shown` makes of the values; it sees one slice of them after the
    other.
    """
    if len(values) <= _SLICE:
        return _written(values, shown)
    return await asyncio.to_thread(_written, values, shown)


def _written(values: Sequence[int], shown: Callable[[Sequence[int]], Sequence[Any]]) -> msgspec.Raw:
    slices = (values[start : start + _SLICE] for start in range(0, len(values), _SLICE))
    inner = b",".join([msgspec.json.encode(shown(each))[1:-1] for each in slices])
    return msgspec.Raw(b"[%b]" % inner)
