"""Owns reading the head of a GGUF file that may be anything: bounded in time and memory.

No native parser sees a file before this has read it: they trust counts and lengths. Texts and
lists are passed over but for short texts; knows nothing of models.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backends.model_checks.bounded_file import BoundedFile, open_bounded, shown

MAX_KEYS = 1 << 14
MAX_TENSORS = 1 << 16
MAX_KEY_BYTES = 1024
MAX_HEAD_BYTES = 256 << 20
# Of all lists together. The largest vocabularies, with merges, scores and types, take a third.
MAX_ITEMS = 1 << 22
MAX_ALIGNMENT = 1 << 16
MAX_DIMENSIONS = 4
# ggml's names are shorter than this.
MAX_TENSOR_NAME_BYTES = 63
_KEPT_TEXT_BYTES = 256
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_DEFAULT_ALIGNMENT = 32
# What a key and a tensor take at least: lengths, types and a letter each.
_KEY_BYTES, _TENSOR_BYTES = 14, 33

TEXT, ARRAY = 8, 9
UINT32, INT32, FLOAT32 = 4, 5, 6
_NUMBERS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    UINT32: struct.Struct("<I"),
    INT32: struct.Struct("<i"),
    FLOAT32: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}


@dataclass(frozen=True, slots=True)
class GgufList:
    """A list's length and what GGUF calls the type of its items."""

    item_type: int
    length: int


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor as it is announced. `offset` is in bytes, from where the data begins."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int


Value = str | int | float | GgufList


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """`values` has the beginnings of long texts. `num_data_bytes` is all behind the head."""

    file_name: str
    values: Mapping[str, Value]
    tensors: tuple[GgufTensor, ...]
    alignment: int
    num_data_bytes: int


def read_header(path: Path) -> GgufHeader:
    """Raises ModelLoadError that says what is wrong and where."""
    with open_bounded(path) as file:
        return _Reader(file).header()


class _Reader:
    """One head being read."""

    def __init__(self, file: BoundedFile) -> None:
        self._file = file
        self._num_items = 0

    def header(self) -> GgufHeader:
        file = self._file
        self._check_beginning()
        num_tensors = self._count("tensors", MAX_TENSORS, _TENSOR_BYTES)
        num_keys = self._count("keys", MAX_KEYS, _KEY_BYTES)
        values = self._values(num_keys)
        alignment = self._alignment(values)
        tensors = self._tensors(num_tensors)
        start = -(-file.at // alignment) * alignment
        return GgufHeader(file.name, values, tensors, alignment, max(0, file.size - start))

    def _check_beginning(self) -> None:
        magic = self._file.take(4, "the beginning")
        if magic != _MAGIC:
            raise self._file.fault(f"it is no GGUF file, which begin with 'GGUF': {shown(magic)}")
        version = self._number(UINT32, "the version")
        if version & 0xFFFF == 0:
            raise self._file.fault("it was written for big-endian machines")
        if version not in _VERSIONS:
            raise self._file.fault(f"it is of GGUF version {version}; read are 2 and 3")

    def _count(self, what: str, maximum: int, least_bytes: int) -> int:
        count = self._number(10, f"the number of {what}")
        if count > maximum:
            raise self._file.fault(f"it announces {count} {what}; allowed are {maximum}")
        if count * least_bytes > self._file.num_left:
            raise self._file.fault(f"it announces {count} {what}, which it is too short for")
        return count

    def _values(self, count: int) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for index in range(count):
            key = self._text(f"key {index}", MAX_KEY_BYTES)
            if key in values:
                raise self._file.fault(f"key {shown(key)} stands there twice")
            values[key] = self._value(key)
            if self._file.at > MAX_HEAD_BYTES:
                raise self._file.fault(f"its head is larger than {MAX_HEAD_BYTES} bytes")
        return values

    def _value(self, key: str) -> Value:
        what = f"key {shown(key)}"
        type_id = self._number(UINT32, what)
        if type_id == ARRAY:
            return self._list(what)
        if type_id == TEXT:
            return self._long_text(what)
        if type_id not in _NUMBERS:
            raise self._file.fault(f"{what} has the unknown type {type_id}")
        form = _NUMBERS[type_id]
        value: int | float = form.unpack(self._file.take(form.size, what))[0]
        return value

    def _list(self, what: str) -> GgufList:
        item_type, length = self._number(UINT32, what), self._number(10, what)
        self._num_items += length
        if self._num_items > MAX_ITEMS:
            raise self._file.fault(
                f"{what} has {length} items; allowed in all lists together are {MAX_ITEMS}"
            )
        if item_type == TEXT:
            self._file.skip_texts(length, what)
        elif item_type in _NUMBERS:
            self._file.skip(length * _NUMBERS[item_type].size, what)
        else:
            raise self._file.fault(f"{what} is a list of the unknown type {item_type}")
        return GgufList(item_type, length)

    def _alignment(self, values: Mapping[str, Value]) -> int:
        alignment = values.get("general.alignment", _DEFAULT_ALIGNMENT)
        is_number = type(alignment) is int and 0 < alignment <= MAX_ALIGNMENT
        if not is_number or alignment & (alignment - 1):  # type: ignore[operator]
            raise self._file.fault(
                f"general.alignment is {shown(alignment)}; allowed are powers of two up to"
                f" {MAX_ALIGNMENT}"
            )
        return int(alignment)  # type: ignore[arg-type]

    def _tensors(self, count: int) -> tuple[GgufTensor, ...]:
        tensors: dict[str, GgufTensor] = {}
        for index in range(count):
            tensor = self._tensor(index)
            if tensor.name in tensors:
                raise self._file.fault(f"tensor {shown(tensor.name)} stands there twice")
            tensors[tensor.name] = tensor
        return tuple(tensors.values())

    def _tensor(self, index: int) -> GgufTensor:
        name = self._text(f"the name of tensor {index}", MAX_TENSOR_NAME_BYTES)
        what = f"tensor {shown(name)}"
        num_dimensions = self._number(UINT32, what)
        if not 0 < num_dimensions <= MAX_DIMENSIONS:
            raise self._file.fault(
                f"{what} has {num_dimensions} dimensions; allowed are 1 to {MAX_DIMENSIONS}"
            )
        shape = tuple(self._number(10, what) for _ in range(num_dimensions))
        return GgufTensor(name, shape, self._number(UINT32, what), self._number(10, what))

    def _number(self, type_id: int, what: str) -> int:
        form = _NUMBERS[type_id]
        return int(form.unpack(self._file.take(form.size, what))[0])

    def _text(self, what: str, max_bytes: int) -> str:
        length = self._number(10, what)
        if not 0 < length <= max_bytes:
            raise self._file.fault(f"{what} has {length} bytes; allowed are 1 to {max_bytes}")
        try:
            return self._file.take(length, what).decode()
        except UnicodeDecodeError:
            raise self._file.fault(f"{what} is not UTF-8") from None

    def _long_text(self, what: str) -> str:
        length = self._number(10, what)
        if length > self._file.num_left:
            raise self._file.fault(
                f"{what} has a text of {length} bytes; the file has {self._file.num_left} more"
            )
        kept = min(length, _KEPT_TEXT_BYTES)
        text = self._file.take(kept, what)
        self._file.skip(length - kept, what)
        return text.decode(errors="replace")
