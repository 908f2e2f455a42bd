"""Makes GGUF files for tests: small ones byte by byte, the shipped model with other metadata."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.engines import MODEL

UINT32, INT32, FLOAT32, BOOL, TEXT, ARRAY, UINT64 = 4, 5, 6, 7, 8, 9, 10
F32, Q8_0 = 0, 8


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def uint32(value: int) -> bytes:
    return struct.pack("<II", UINT32, value)


def a_text(value: str) -> bytes:
    return struct.pack("<I", TEXT) + text(value)


def texts(*values: str) -> bytes:
    head = struct.pack("<IIQ", ARRAY, TEXT, len(values))
    return head + b"".join(text(value) for value in values)


def numbers(item_type: int, length: int, raw: bytes) -> bytes:
    return struct.pack("<IIQ", ARRAY, item_type, length) + raw


@dataclass(frozen=True)
class Tensor:
    """As it is announced."""

    name: str = "token_embd.weight"
    shape: tuple[int, ...] = (8, 3)
    kind: int = F32
    offset: int = 0

    @property
    def raw(self) -> bytes:
        head = text(self.name) + struct.pack("<I", len(self.shape))
        shape = struct.pack(f"<{len(self.shape)}Q", *self.shape)
        return head + shape + struct.pack("<IQ", self.kind, self.offset)


VALUES = {
    "general.architecture": a_text("llama"),
    "llama.context_length": uint32(64),
    "llama.embedding_length": uint32(8),
    "llama.block_count": uint32(1),
    "tokenizer.ggml.model": a_text("gpt2"),
    "tokenizer.ggml.tokens": texts("a", "b", "<end>"),
    "tokenizer.ggml.token_type": numbers(INT32, 3, struct.pack("<3i", 1, 1, 3)),
    "tokenizer.ggml.eos_token_id": uint32(2),
}


@dataclass(frozen=True)
class Gguf:
    """A file of three tokens and one tensor. A count of None is the true one."""

    magic: bytes = b"GGUF"
    version: bytes = struct.pack("<I", 3)
    num_tensors: int | None = None
    num_keys: int | None = None
    values: Mapping[str, bytes] = field(default_factory=lambda: dict(VALUES))
    more: bytes = b""
    tensors: tuple[Tensor, ...] = (Tensor(),)
    num_data_bytes: int = 96

    def having(self, key: str, value: bytes | None) -> "Gguf":
        """With another value, or without the key."""
        kept = {name: each for name, each in self.values.items() if name != key}
        return replace(self, values=kept if value is None else {**kept, key: value})

    @property
    def raw(self) -> bytes:
        num_tensors = len(self.tensors) if self.num_tensors is None else self.num_tensors
        num_keys = len(self.values) if self.num_keys is None else self.num_keys
        head = self.magic + self.version + struct.pack("<QQ", num_tensors, num_keys)
        head += b"".join(text(key) + value for key, value in self.values.items()) + self.more
        head += b"".join(tensor.raw for tensor in self.tensors)
        return head + bytes(-len(head) % 32) + bytes(self.num_data_bytes)


@dataclass(frozen=True)
class Split:
    """The shipped model in pieces: values by key as they are written, tensors, weights."""

    values: Mapping[str, bytes]
    num_tensors: int
    tensors: bytes
    weights: bytes


def split_model() -> Split:
    raw = MODEL.read_bytes()
    num_tensors, num_keys = struct.unpack_from("<QQ", raw, 8)
    at, values = 24, {}
    for _ in range(num_keys):
        key_end = at + 8 + struct.unpack_from("<Q", raw, at)[0]
        end = _value_end(raw, key_end)
        values[raw[at + 8 : key_end].decode()] = raw[key_end:end]
        at = end
    end = at
    for _ in range(num_tensors):
        end += 8 + struct.unpack_from("<Q", raw, end)[0]
        end += 4 + 8 * struct.unpack_from("<I", raw, end)[0] + 12
    return Split(values, num_tensors, raw[at:end], raw[end + -end % 32 :])


def with_metadata(path: Path, **changes: bytes | None) -> Path:
    """The shipped model with other values, as they are written; a key's dots are two underscores.
    None leaves the key out.
    """
    model = split_model()
    values = dict(model.values) | {key.replace("__", "."): v for key, v in changes.items()}
    kept = {key: value for key, value in values.items() if value is not None}
    head = b"GGUF" + struct.pack("<IQQ", 3, model.num_tensors, len(kept))
    head += b"".join(text(key) + value for key, value in kept.items()) + model.tensors
    path.write_bytes(head + bytes(-len(head) % 32) + model.weights)
    return path


def _value_end(raw: bytes, at: int) -> int:
    kind = struct.unpack_from("<I", raw, at)[0]
    at += 4
    if kind != ARRAY:
        return _item_end(raw, at, kind)
    item_type, length = struct.unpack_from("<IQ", raw, at)
    at += 12
    for _ in range(length):
        at = _item_end(raw, at, item_type)
    return at


def _item_end(raw: bytes, at: int, kind: int) -> int:
    if kind == TEXT:
        return at + 8 + int(struct.unpack_from("<Q", raw, at)[0])
    return at + {BOOL: 1, UINT64: 8}.get(kind, 4)
