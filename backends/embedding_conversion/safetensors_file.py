"""Owns reading the weights of a Hugging Face folder as float32. Knows no model.

The safetensors library reads no bfloat16 into numpy, and llama.cpp's installation is without it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ModelLoadError

_LENGTH_BYTES = 8
_LARGEST_HEADER = 100_000_000
_METADATA = "__metadata__"
_FORMATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_BF16_SHIFT = 16


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where numbers lie. `offset` counts bytes from the begin of the file."""

    file: Path
    offset: int
    shape: tuple[int, ...]
    format: str

    def read(self) -> NDArray[np.float32]:
        """Raises ModelLoadError for a number format that no weights have."""
        if self.format not in _FORMATS:
            raise ModelLoadError(f"{self.file} holds weights in the format {self.format}")
        stored = np.fromfile(
            self.file, dtype=_FORMATS[self.format], count=prod(self.shape), offset=self.offset
        ).reshape(self.shape)
        if self.format == "BF16":
            # The upper half of a float32's bits.
            return (stored.astype(np.uint32) << _BF16_SHIFT).view(np.float32)
        return stored.astype(np.float32, copy=False)


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Of all safetensors files of a folder, by name. Raises ModelLoadError."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ModelLoadError(f"{folder} has no model.safetensors")
    found: dict[str, StoredTensor] = {}
    for file in files:
        try:
            found |= _tensors(file)
        except OSError as error:
            raise ModelLoadError(f"{file} can't be read: {error.strerror or error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelLoadError(f"{file} is no safetensors file, or a damaged one") from error
    return found


def _tensors(file: Path) -> dict[str, StoredTensor]:
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(_LENGTH_BYTES), "little")
        if length > min(size, _LARGEST_HEADER):
            raise ValueError("the header is longer than the file")
        header: Mapping[str, Mapping[str, Any]] = json.loads(opened.read(length))
    begin = _LENGTH_BYTES + length
    tensors: dict[str, StoredTensor] = {}
    for name, entry in header.items():
        if name == _METADATA:
            continue
        first, end = entry["data_offsets"]
        if not 0 <= first <= end <= size - begin:
            raise ValueError(f"{name} lies beyond the end of the file")
        tensors[name] = _tensor(file, entry, begin + first, end - first)
    return tensors


def _tensor(file: Path, entry: Mapping[str, Any], offset: int, num_bytes: int) -> StoredTensor:
    shape, format_ = tuple(map(int, entry["shape"])), str(entry["dtype"])
    known = _FORMATS.get(format_)
    if known is not None and prod(shape) * np.dtype(known).itemsize != num_bytes:
        raise ValueError("shape and size do not agree")
    return StoredTensor(file, offset, shape, format_)
