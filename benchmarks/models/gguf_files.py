"""Owns writing models as GGUF files, a matrix at a time. Knows no cache."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import (
    GGML_QUANT_SIZES,
    GGMLQuantizationType,
    GGUFReader,
    GGUFValueType,
    GGUFWriter,
    LlamaFileType,
    TokenType,
    quants,
)

from benchmarks.models.shapes import Shape
from benchmarks.models.vocabulary import CHAT_TEMPLATE, CONTROLS, END_OF_TEXT, TURN_END, Vocabulary
from benchmarks.models.weights import EMBEDDING, OUTPUT, Matrix, planned, random_weights

_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
}


def write_random_model(shape: Shape, vocabulary: Vocabulary, path: Path) -> None:
    """The same bytes for the same shape and vocabulary."""

    def fill(writer: GGUFWriter) -> None:
        _add_shape(writer, path.stem, shape)
        _add_tokenizer(writer, vocabulary)
        kind = GGMLQuantizationType[shape.weights]
        _add_infos(writer, shape, kind)
        _write_head(writer)
        writer.write_ti_data_to_file()
        for weight in random_weights(shape, vocabulary.unprintable_ids):
            writer.write_tensor_data(_packed(weight, kind))

    _write(path, fill)


def write_endless_copy(source: Path, path: Path) -> None:
    """A float32 model whose control tokens, ends of turns among them, can't be its answer.

    Its output matrix is its embedding with the control tokens' rows cleared.
    """
    reader = GGUFReader(source)

    def fill(writer: GGUFWriter) -> None:
        for name, field in reader.fields.items():
            if not name.startswith("GGUF.") and name != "general.architecture":
                kind = field.types[0]
                inner = field.types[-1] if kind is GGUFValueType.ARRAY else None
                writer.add_key_value(name, field.contents(), kind, inner)
        types = reader.fields["tokenizer.ggml.token_type"].contents()
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, np.array(tensor.data))
            if tensor.name == EMBEDDING:
                output = np.array(tensor.data)
                output[[index for index, kind in enumerate(types) if kind == TokenType.CONTROL]] = 0
                writer.add_tensor(OUTPUT, output)
        _write_head(writer)
        writer.write_tensors_to_file()

    _write(path, fill)


def _write(path: Path, fill: Callable[[GGUFWriter], None]) -> None:
    """Beside its place first, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    writer = GGUFWriter(unfinished, "llama")
    try:
        fill(writer)
        writer.close()
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_head(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()


def _add_shape(writer: GGUFWriter, name: str, shape: Shape) -> None:
    writer.add_name(name)
    writer.add_description("Random weights, to measure speed with.")
    writer.add_file_type(_FILE_TYPES[shape.weights])
    writer.add_quantization_version(2)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)


def _add_tokenizer(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    kinds = [TokenType.NORMAL] * vocabulary.num_text_tokens + [TokenType.CONTROL] * len(CONTROLS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(kinds)
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_bos_token_id(vocabulary.control_id(END_OF_TEXT))
    writer.add_eos_token_id(vocabulary.control_id(TURN_END))
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _add_infos(writer: GGUFWriter, shape: Shape, kind: GGMLQuantizationType) -> None:
    for weight in planned(shape):
        own = kind if weight.is_matrix else GGMLQuantizationType.F32
        block, block_bytes = GGML_QUANT_SIZES[own]
        num_bytes = math.prod(weight.size) // block * block_bytes
        single = np.dtype(np.float32)
        writer.add_tensor_info(weight.name, weight.size, single, num_bytes, raw_dtype=own)


def _packed(values: Matrix, kind: GGMLQuantizationType) -> npt.NDArray[Any]:
    is_plain = values.ndim == 1 or kind is GGMLQuantizationType.F32
    return values if is_plain else quants.quantize(values, kind)
