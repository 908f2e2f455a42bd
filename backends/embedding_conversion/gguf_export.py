"""Owns writing a BERT folder as GGUF: its weights, vocabulary and what it was trained for.

llama.cpp knows no window but the number of position embeddings: those beyond the window that the
model was trained for are left out.
"""

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from backends.embedding_conversion.bert_folder import BertFolder
from backends.embedding_conversion.bert_names import POSITIONS, gguf_names
from backends.embedding_conversion.gguf_keys import NORMALIZED_KEY
from backends.embedding_conversion.safetensors_file import StoredTensor, stored_tensors
from backends.embedding_conversion.word_pieces import (
    FolderVocabulary,
    vocabulary_of_json,
    with_phantom_space,
)
from core.errors import ModelLoadError

_FLOAT_BYTES = 4
# What is not computed for a pooled vector.
_UNUSED = ("embeddings.position_ids", "cls.")
_POOLER = "pooler."


def write_gguf(
    folder: BertFolder, target: Path, report: Callable[[float], None] = lambda _: None
) -> None:
    """All weights in float32, beside the file's place first. `report` gets the share written, and
    may raise to give up. Raises ModelLoadError.
    """
    unfinished = target.with_name(f".{target.name}.unfinished")
    writer = gguf.GGUFWriter(unfinished, arch="bert")
    try:
        weights, vocabulary = _weights(folder), _vocabulary(folder)
        writer.add_name(target.stem)
        _write_shape(writer, folder)
        _write_vocabulary(writer, vocabulary)
        _write_weights(writer, weights, report)
        writer.close()
        os.replace(unfinished, target)
    # A key that is missing, or has another kind of value than it should.
    except (LookupError, ValueError, TypeError, AttributeError, struct.error) as error:
        raise ModelLoadError(f"{folder.path} is damaged, or of another kind: {error!r}") from error
    finally:
        writer.close()
        unfinished.unlink(missing_ok=True)


def num_bytes(folder: BertFolder) -> int:
    """Of the weights of the GGUF. Raises ModelLoadError."""
    return sum(_num_bytes(shape) for _, shape in _weights(folder).values())


def _write_shape(writer: Any, folder: BertFolder) -> None:
    config = folder.config
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(folder.window)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType[folder.pooling])
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_bool(NORMALIZED_KEY, folder.is_normalized)


def _vocabulary(folder: BertFolder) -> FolderVocabulary:
    return vocabulary_of_json(folder.tokenizer, int(folder.config["vocab_size"]), folder.path.name)


def _write_vocabulary(writer: Any, vocabulary: FolderVocabulary) -> None:
    tokens: list[str] = []
    kinds: list[int] = []
    for token_id, text in enumerate(vocabulary.pieces.texts):
        kind = gguf.TokenType.NORMAL
        if token_id in vocabulary.unused:
            kind = gguf.TokenType.UNUSED
        elif token_id in vocabulary.control:
            kind = gguf.TokenType.CONTROL
        tokens.append(with_phantom_space(text) if kind is gguf.TokenType.NORMAL else text)
        kinds.append(kind)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    pieces, ids = vocabulary.pieces, vocabulary.ids
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", pieces.lowercase)
    writer.add_bool("tokenizer.ggml.normalizer.strip_accents", pieces.strips_accents)
    writer.add_bos_token_id(pieces.cls_id)
    writer.add_sep_token_id(pieces.sep_id)
    writer.add_unk_token_id(pieces.unknown_id)
    writer.add_pad_token_id(ids["[PAD]"])
    writer.add_mask_token_id(ids["[MASK]"])


Weights = Mapping[str, tuple[StoredTensor, tuple[int, ...]]]


def _weights(folder: BertFolder) -> Weights:
    """By the GGUF's name: where they lie, and how many of their rows are kept."""
    ranks = folder.pooling == "RANK"
    unused = _UNUSED if ranks else (*_UNUSED, _POOLER)
    names = gguf_names(int(folder.config["num_hidden_layers"]), ranks_pairs=ranks)
    found: dict[str, tuple[StoredTensor, tuple[int, ...]]] = {}
    for full_name, tensor in stored_tensors(folder.path).items():
        name = full_name.removeprefix("bert.")
        if name.startswith(unused):
            continue
        if name not in names:
            raise ModelLoadError(f"a GGUF can't hold the weights {full_name} of {folder.path.name}")
        shape = tensor.shape
        kept = (min(folder.window, shape[0]), *shape[1:]) if name == POSITIONS else shape
        found[names[name]] = (tensor, kept)
    missing = [name for name, target in names.items() if target not in found]
    if missing:
        raise ModelLoadError(f"the weights of {folder.path.name} have no {missing[0]}")
    return found


def _write_weights(writer: Any, weights: Weights, report: Callable[[float], None]) -> None:
    total = sum(_num_bytes(shape) for _, shape in weights.values())
    for name, (_, shape) in weights.items():
        writer.add_tensor_info(name, shape, np.dtype(np.float32), _num_bytes(shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    written = 0
    for tensor, shape in weights.values():
        values: NDArray[np.float32] = tensor.read()[: shape[0]]
        writer.write_tensor_data(np.ascontiguousarray(values))
        written += values.nbytes
        report(written / total)


def _num_bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * _FLOAT_BYTES
