"""Owns whether the head of a safetensors file is true: what it announces, against the file.

Reads no weights. The format: the head's length in 8 bytes, the head as JSON, the weights.
"""

import math
import struct
from pathlib import Path

import msgspec

from backends.model_checks.bounded_file import open_bounded, shown, unusable
from backends.model_checks.json_files import decode_fields

MAX_HEAD_BYTES = 32 << 20
MAX_TENSORS = 1 << 18
_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"
_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "U16": 16,
    "I16": 16,
    "U32": 32,
    "I32": 32,
    "U64": 64,
    "I64": 64,
    "F16": 16,
    "BF16": 16,
    "F32": 32,
    "F64": 64,
    "C64": 64,
    "F8_E4M3": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
}


class _Entry(msgspec.Struct, frozen=True):
    """A tensor as it is announced; offsets are in bytes behind the head."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_decode_entry = msgspec.json.Decoder(_Entry).decode


def check_safetensors(path: Path) -> None:
    """Raises ModelLoadError that names the tensor at fault."""
    with open_bounded(path) as file:
        (length,) = _LENGTH.unpack(file.take(_LENGTH.size, "the head's length"))
        if length > min(MAX_HEAD_BYTES, file.num_left):
            raise file.fault(
                f"its head takes {length} bytes; the file has {file.num_left} more, and allowed are"
                f" {MAX_HEAD_BYTES}"
            )
        head = decode_fields(path.name, file.take(length, "the head"))
        num_bytes = file.num_left
    head.pop(_METADATA, None)
    if not 0 < len(head) <= MAX_TENSORS:
        raise unusable(path.name, f"it has {len(head)} tensors; allowed are 1 to {MAX_TENSORS}")
    end = _last_end(path.name, {name: _entry(path.name, name, raw) for name, raw in head.items()})
    if end != num_bytes:
        raise unusable(
            path.name,
            f"its tensors take {end} bytes, and it holds {num_bytes}: it is truncated or damaged",
        )


def _entry(file_name: str, name: str, raw: msgspec.Raw) -> _Entry:
    what = f"tensor {shown(name)}"
    try:
        entry = _decode_entry(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unusable(file_name, f"{what} is announced wrongly: {str(error)[:200]}") from None
    bits = _BITS.get(entry.dtype)
    if bits is None:
        raise unusable(file_name, f"{what} has the unknown type {shown(entry.dtype)}")
    begin, end = entry.data_offsets
    if min(entry.shape, default=0) < 0 or (end - begin) * 8 != math.prod(entry.shape) * bits:
        raise unusable(
            file_name, f"{what} of the shape {shown(entry.shape)} has {end - begin} bytes"
        )
    return entry


def _last_end(file_name: str, entries: dict[str, _Entry]) -> int:
    """They follow each other without a gap, which also means that none lies on another."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        if begin != at:
            raise unusable(file_name, f"tensor {shown(name)} begins at {begin}, and should at {at}")
        at = end
    return at
