"""Owns reading a GGUF of a BERT model: what it says of itself, and its weights as float32.

What a file leaves open is what llama.cpp takes it for. Knows no engine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import gguf
import numpy as np
from numpy.typing import NDArray

from backends.embedding_conversion.gguf_keys import NORMALIZED_KEY
from backends.embedding_conversion.word_pieces import without_phantom_space
from backends.embedding_encoder import WordPieces
from core.errors import ModelLoadError

_CONTROL = (gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL)
_CLS_ID, _SEP_ID, _UNKNOWN_ID = 101, 102, 100
_INSTEAD = (
    "give JARVIS_EMBEDDING_MODEL the model's Hugging Face folder or hub id, or set"
    " JARVIS_INFERENCE_ENGINE=llama_cpp"
)

T = TypeVar("T")
Tensors = Mapping[str, gguf.ReaderTensor]


@dataclass(frozen=True, slots=True)
class BertGguf:
    """What the file says. Fields are as in BertFolder; `shape` holds the keys of `bert.` without
    that begin. `tensors` are mapped from the file.
    """

    path: Path
    shape: Mapping[str, Any]
    pieces: WordPieces
    window: int
    pooling: str
    is_normalized: bool
    tensors: Tensors


def read_bert_gguf(path: Path) -> BertGguf:
    """Raises ModelLoadError, in a line that says what to give instead."""
    return _guarded(path, lambda: _read(path))


def float32_values(source: BertGguf, name: str) -> NDArray[np.float32]:
    """Raises ModelLoadError for weights that are missing or damaged."""

    def read() -> NDArray[np.float32]:
        tensor = source.tensors[name]
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        shape = tuple(int(size) for size in reversed(tensor.shape))
        return np.ascontiguousarray(values.reshape(shape), dtype=np.float32)

    return _guarded(source.path, read)


def _guarded(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except OSError as error:
        raise ModelLoadError(f"{path.name} can't be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, NotImplementedError) as error:
        raise ModelLoadError(f"{path.name} is no GGUF file, or a damaged one: {error!r}") from error


def _read(path: Path) -> BertGguf:
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    architecture = str(fields["general.architecture"])
    pooling = gguf.PoolingType(fields.get(f"{architecture}.pooling_type") or 0)
    if pooling is gguf.PoolingType.NONE:
        raise ModelLoadError(f"{path.name} is no embedding model: its metadata names no pooling")
    tokenizer = fields["tokenizer.ggml.model"]
    if (architecture, tokenizer) != ("bert", "bert"):
        raise ModelLoadError(
            f"{path.name} holds a {architecture} model with a {tokenizer} vocabulary, and only bert"
            f" ones with bert vocabularies are converted for vLLM: {_INSTEAD}"
        )
    shape = {key.removeprefix("bert."): v for key, v in fields.items() if key.startswith("bert.")}
    return BertGguf(
        path=path,
        shape=shape,
        pieces=_pieces(fields),
        window=int(shape["context_length"]),
        pooling=pooling.name,
        is_normalized=fields.get(NORMALIZED_KEY) is not False,
        tensors={tensor.name: tensor for tensor in reader.tensors},
    )


def _pieces(fields: Mapping[str, Any]) -> WordPieces:
    prefix = "tokenizer.ggml."
    tokens = list(map(str, fields[f"{prefix}tokens"]))
    kinds = fields.get(f"{prefix}token_type") or [gguf.TokenType.NORMAL] * len(tokens)
    lowercase = fields.get(f"{prefix}normalizer.lowercase") is not False
    strips = fields.get(f"{prefix}normalizer.strip_accents")

    def known(name: str, standard: int) -> int:
        token_id = fields.get(f"{prefix}{name}_token_id")
        is_inside = isinstance(token_id, int) and 0 <= token_id < len(tokens)
        return token_id if isinstance(token_id, int) and is_inside else standard

    return WordPieces(
        texts=[
            text if kind in _CONTROL else without_phantom_space(text)
            for text, kind in zip(tokens, kinds, strict=True)
        ],
        cls_id=known("bos", _CLS_ID),
        sep_id=known("seperator", _SEP_ID),
        unknown_id=known("unknown", _UNKNOWN_ID),
        lowercase=lowercase,
        strips_accents=lowercase if strips is None else bool(strips),
    )
