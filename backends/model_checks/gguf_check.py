"""Owns whether a GGUF file is a text model that engines may be given: its tensors and vocabulary.

Reads no weights, and knows no engine.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from backends.model_checks.bounded_file import shown, unusable
from backends.model_checks.ggml_types import GGML_TYPES
from backends.model_checks.gguf_header import (
    FLOAT32,
    INT32,
    TEXT,
    UINT32,
    GgufHeader,
    GgufList,
    GgufTensor,
    read_header,
)
from core.errors import ModelLoadError

MAX_PARTS = 1000
_LARGEST = 2**31 - 1
_ARCHITECTURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PART = re.compile(r"(.*)-00001-of-(\d{5})\.gguf", re.IGNORECASE)
_TOKENS = "tokenizer.ggml.tokens"
# By key: of which types the items may be. Engines read the lists' bytes as these, by token id.
_LISTS_BY_TOKEN = {
    "tokenizer.ggml.token_type": (INT32, UINT32),
    "tokenizer.ggml.scores": (FLOAT32,),
}
_SPECIAL_ID = re.compile(r"tokenizer\.ggml\.[a-z0-9_]+_token_id")
# How -1 looks in a file that says by it that there is no such token.
_NO_TOKEN = (2**32 - 1, -1)


def check_gguf(path: Path) -> None:
    """All parts of a split one. Raises ModelLoadError with one line that says what is wrong."""
    first = read_header(path)
    parts = [first, *(read_header(part) for part in _other_parts(path, first))]
    for part in parts:
        _check_tensors(part)
    tensors = [tensor for part in parts for tensor in part.tensors]
    _Model(first, tensors).check()


def _other_parts(path: Path, first: GgufHeader) -> list[Path]:
    count = first.values.get("split.count", 1)
    if type(count) is not int or not 0 <= count <= MAX_PARTS:
        raise unusable(path.name, f"split.count is {shown(count)}; allowed are up to {MAX_PARTS}")
    if count <= 1:
        return []
    named = _PART.fullmatch(path.name)
    if named is None or int(named[2]) != count:
        raise unusable(
            path.name, f"it is one of {count} parts: name the first, NAME-00001-of-{count:05}.gguf"
        )
    stem, ending = named[1], path.name[-len(".gguf") :]
    return [
        path.with_name(f"{stem}-{index:05}-of-{count:05}{ending}") for index in range(2, count + 1)
    ]


def _check_tensors(header: GgufHeader) -> None:
    """That each lies where it may, as large as its shape says, and on no other."""
    end = 0
    for tensor in sorted(header.tensors, key=lambda each: each.offset):
        what = f"tensor {shown(tensor.name)}"
        size = _num_bytes(header, tensor)
        if tensor.offset % header.alignment:
            raise unusable(header.file_name, f"{what} is not aligned: offset {tensor.offset}")
        if tensor.offset < end:
            raise unusable(header.file_name, f"{what} lies on another: offset {tensor.offset}")
        end = tensor.offset + size
        if end > header.num_data_bytes:
            raise unusable(
                header.file_name,
                f"{what} ends at byte {end} of the weights; the file holds"
                f" {header.num_data_bytes}: it is truncated or damaged",
            )


def _num_bytes(header: GgufHeader, tensor: GgufTensor) -> int:
    what = f"tensor {shown(tensor.name)}"
    form = GGML_TYPES.get(tensor.type_id)
    if form is None:
        raise unusable(header.file_name, f"{what} has the unknown type {tensor.type_id}")
    if min(tensor.shape) < 1 or max(tensor.shape) > _LARGEST:
        raise unusable(header.file_name, f"{what} has the shape {shown(tensor.shape)}")
    if tensor.shape[0] % form.block_size:
        raise unusable(
            header.file_name,
            f"{what} has rows of {tensor.shape[0]} numbers; {form.name} takes multiples of"
            f" {form.block_size}",
        )
    return math.prod(tensor.shape) // form.block_size * form.block_bytes


class _Model:
    """What the metadata says, against the tensors of all parts."""

    def __init__(self, header: GgufHeader, tensors: Sequence[GgufTensor]) -> None:
        self._name = header.file_name
        self._values = header.values
        self._tensors = tensors

    def check(self) -> None:
        architecture = self._architecture()
        for key in ("context_length", "embedding_length", "block_count"):
            self._positive(f"{architecture}.{key}")
        num_blocks = self._positive(f"{architecture}.block_count")
        if num_blocks > len(self._tensors):
            raise self._fault(
                f"it announces {num_blocks} blocks and has {len(self._tensors)} tensors"
            )
        num_tokens = self._num_tokens(architecture)
        self._check_embedding(num_tokens)
        self._check_lists(num_tokens)
        self._check_special_ids(num_tokens)

    def _architecture(self) -> str:
        kind = self._values.get("general.type", "model")
        if kind != "model":
            raise self._fault(f"general.type is {shown(kind)}: it is no text model")
        architecture = self._values.get("general.architecture")
        if not isinstance(architecture, str) or not _ARCHITECTURE.fullmatch(architecture):
            raise self._fault(f"general.architecture is {shown(architecture)}; needed is a name")
        return architecture

    def _positive(self, key: str) -> int:
        value = self._values.get(key)
        if type(value) is not int or not 0 < value <= _LARGEST:
            raise self._fault(f"{key} is {shown(value)}; needed is a positive number")
        return value

    def _num_tokens(self, architecture: str) -> int:
        tokens = self._values.get(_TOKENS)
        model = self._values.get("tokenizer.ggml.model")
        if tokens is None or not isinstance(model, str):
            raise self._fault(
                f"it has no tokenizer ({_TOKENS}, tokenizer.ggml.model): it is incomplete, or"
                f" {shown(architecture)} is no text model"
            )
        if not isinstance(tokens, GgufList) or tokens.item_type != TEXT or not tokens.length:
            raise self._fault(f"{_TOKENS} is no list of texts")
        return tokens.length

    def _check_embedding(self, num_tokens: int) -> None:
        shape = next((t.shape for t in self._tensors if t.name == "token_embd.weight"), None)
        if shape is None:
            raise self._fault("it has no tensor token_embd.weight")
        if len(shape) != 2 or shape[1] != num_tokens:
            raise self._fault(
                f"token_embd.weight has the shape {shown(shape)}; the vocabulary has {num_tokens}"
                " tokens"
            )

    def _check_lists(self, num_tokens: int) -> None:
        for key, types in _LISTS_BY_TOKEN.items():
            found = self._values.get(key)
            if found is None:
                continue
            if not isinstance(found, GgufList) or found.item_type not in types:
                raise self._fault(f"{key} is no list of the right type")
            if found.length != num_tokens:
                raise self._fault(f"{key} has {found.length} items for {num_tokens} tokens")
        merges = self._values.get("tokenizer.ggml.merges")
        if merges is not None and (not isinstance(merges, GgufList) or merges.item_type != TEXT):
            raise self._fault("tokenizer.ggml.merges is no list of texts")

    def _check_special_ids(self, num_tokens: int) -> None:
        for key, value in self._values.items():
            if _SPECIAL_ID.fullmatch(key) is None or value in _NO_TOKEN:
                continue
            if type(value) is not int or not 0 <= value < num_tokens:
                raise self._fault(
                    f"{key} is {shown(value)}; the vocabulary has {num_tokens} tokens"
                )

    def _fault(self, reason: str) -> ModelLoadError:
        return unusable(self._name, reason)
