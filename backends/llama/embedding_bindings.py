"""Owns the calls into llama.cpp for vectors, beside `bindings.py`: one more context and vocabulary.

Import it lazily: importing loads the native library. All objects belong to the thread that made
them. Native failures become ModelLoadError and EngineFailed.
"""

import ctypes
from typing import Any

import llama_cpp
import numpy as np

from backends.embedding import Vector
from backends.embedding_conversion.word_pieces import without_phantom_space
from backends.embedding_encoder import WordPieces
from backends.llama.bindings import NativeBatch, NativeModel
from backends.llama.embedder_encoder import SpecialIds
from backends.llama.options import LlamaOptions
from core.errors import EngineFailed, ModelLoadError
from core.setting_types import FlashAttention

_VOCABULARY_WORD_PIECE = 3
_IS_CONTROL = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
_FLASH_ATTENTION = {FlashAttention.AUTO: -1, FlashAttention.OFF: 0, FlashAttention.ON: 1}
_F32, _F16 = 0, 1
_YES = "true"


class EmbeddingContext:
    """The compute buffers of a model that pools whole inputs, up to `capacity` tokens at once."""

    def __init__(
        self, model: NativeModel, options: LlamaOptions, capacity: int, num_sequences: int
    ) -> None:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = capacity
        params.n_seq_max = num_sequences
        params.kv_unified = True
        params.embeddings = True
        params.n_threads = params.n_threads_batch = options.threads_batch
        params.type_k = params.type_v = _F32 if model.is_float32 else _F16
        flash = options.flash_attention
        if flash is FlashAttention.AUTO and model.is_float32:
            flash = FlashAttention.OFF
        params.flash_attn_type = _FLASH_ATTENTION[flash]
        self._handle: Any = llama_cpp.llama_init_from_model(model.handle, params)
        if not self._handle:
            raise ModelLoadError(f"llama.cpp could not make a context of {capacity} tokens")
        self._memory = llama_cpp.llama_get_memory(self._handle)
        self.pooling = int(llama_cpp.llama_pooling_type(self._handle))
        self.ranks_pairs = self.pooling == llama_cpp.LLAMA_POOLING_TYPE_RANK
        self.pools = self.pooling != llama_cpp.LLAMA_POOLING_TYPE_NONE
        self.num_dimensions = _num_values(model, ranks_pairs=self.ranks_pairs)

    def compute(self, batch: NativeBatch, num_tokens: int, num_sequences: int) -> list[Vector]:
        """The pooled values of the sequences 0 to `num_sequences`. Raises EngineFailed."""
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, False)
        status = llama_cpp.llama_decode(self._handle, batch.sized(num_tokens))
        if status != 0:
            raise EngineFailed(f"llama_decode returned {status} for {num_tokens} tokens")
        return [self._pooled(sequence) for sequence in range(num_sequences)]

    def wipe(self) -> None:
        """Overwrites what is kept: a NaN in a cell that nobody uses reaches later inputs all the
        same, since a NaN masked out is a NaN.
        """
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, True)

    def _pooled(self, sequence: int) -> Vector:
        pointer = llama_cpp.llama_get_embeddings_seq(self._handle, sequence)
        if not pointer:
            raise EngineFailed("llama.cpp gave no vector for an input")
        values = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float))
        # The memory is llama.cpp's, until its next call.
        return np.ctypeslib.as_array(values, (self.num_dimensions,)).copy()

    def close(self) -> None:
        if self._handle:
            llama_cpp.llama_free(self._handle)
            self._handle = self._memory = None


def is_word_piece(model: NativeModel) -> bool:
    return bool(llama_cpp.llama_vocab_type(_vocabulary(model)) == _VOCABULARY_WORD_PIECE)


def word_pieces(model: NativeModel) -> WordPieces:
    """As WordPiece writes them: a GGUF marks the begin of a word instead of what continues one."""
    vocabulary = _vocabulary(model)
    lowercase = model.metadata("tokenizer.ggml.normalizer.lowercase") in (None, _YES)
    strips = model.metadata("tokenizer.ggml.normalizer.strip_accents")
    return WordPieces(
        texts=[_word_piece(vocabulary, token_id) for token_id in range(model.num_vocabulary)],
        cls_id=_needed(model, llama_cpp.llama_vocab_bos(vocabulary), "[CLS]"),
        sep_id=_needed(model, llama_cpp.llama_vocab_sep(vocabulary), "[SEP]"),
        unknown_id=_needed(model, _unknown_id(model), "[UNK]"),
        lowercase=lowercase,
        strips_accents=lowercase if strips is None else strips == _YES,
    )


def special_ids(model: NativeModel) -> SpecialIds:
    """What llama.cpp itself puts around an input and between a pair."""
    vocabulary = _vocabulary(model)
    size = model.num_vocabulary

    def known(token_id: int, *, is_added: bool) -> int | None:
        return int(token_id) if is_added and 0 <= token_id < size else None

    return SpecialIds(
        first=known(
            llama_cpp.llama_vocab_bos(vocabulary),
            is_added=llama_cpp.llama_vocab_get_add_bos(vocabulary),
        ),
        last=known(
            llama_cpp.llama_vocab_eos(vocabulary),
            is_added=llama_cpp.llama_vocab_get_add_eos(vocabulary),
        ),
        between=known(
            llama_cpp.llama_vocab_sep(vocabulary),
            is_added=llama_cpp.llama_vocab_get_add_sep(vocabulary),
        ),
    )


def _num_values(model: NativeModel, *, ranks_pairs: bool) -> int:
    if ranks_pairs:
        return int(llama_cpp.llama_model_n_cls_out(model.handle))
    return int(llama_cpp.llama_model_n_embd_out(model.handle))


def _vocabulary(model: NativeModel) -> Any:
    return llama_cpp.llama_model_get_vocab(model.handle)


def _word_piece(vocabulary: Any, token_id: int) -> str:
    text = llama_cpp.llama_vocab_get_text(vocabulary, token_id).decode("utf-8", "replace")
    if llama_cpp.llama_vocab_get_attr(vocabulary, token_id) & _IS_CONTROL:
        return str(text)
    return without_phantom_space(text)


def _unknown_id(model: NativeModel) -> int:
    text = model.metadata("tokenizer.ggml.unknown_token_id")
    # llama.cpp's own default for a vocabulary of this kind.
    return int(text) if text is not None and text.isdigit() else 100


def _needed(model: NativeModel, token_id: int, name: str) -> int:
    if not 0 <= token_id < model.num_vocabulary:
        raise ModelLoadError(f"the GGUF's vocabulary has no {name} token")
    return int(token_id)
