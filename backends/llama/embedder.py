"""Owns an embedding model on its native objects: batches in, vectors out. Lives on one thread."""

from collections.abc import Callable, Sequence

import numpy as np

from backends.embedding import EmbeddingCard, InputEncoder, Vector
from backends.embedding_conversion.gguf_keys import NORMALIZED_KEY
from backends.embedding_encoder import encoder_of_word_pieces
from backends.embedding_inputs import LONGEST_WINDOW, finished
from backends.llama.bindings import LogRoute, NativeBatch, NativeModel, version
from backends.llama.embedder_encoder import NativeEncoder
from backends.llama.embedder_queue import BatchLimits
from backends.llama.embedding_bindings import (
    EmbeddingContext,
    is_word_piece,
    special_ids,
    word_pieces,
)
from backends.llama.options import LlamaOptions
from backends.llama.tokenizer import LlamaTokenizer
from backends.weights_digest import weights_digest
from core.errors import EngineFailed, ModelLoadError

# Attention between inputs that share a batch is computed for nothing: on two cores, batches of 512
# tokens made vectors at half the speed of 128.
_CPU_TOKENS = 128
_GPU_TOKENS = 512
_BATCH_INPUTS = 64


class Embedder:
    """A loaded embedding model. Raises ModelLoadError when made, EngineFailed when run."""

    def __init__(
        self, options: LlamaOptions, progress: Callable[[float], bool], route: LogRoute
    ) -> None:
        self._options = options
        self._model = NativeModel(options, progress, route)
        try:
            self._window = min(self._model.trained_window, LONGEST_WINDOW)
            num_tokens = _GPU_TOKENS if self._model.is_offloaded(options) else _CPU_TOKENS
            self.limits = BatchLimits(num_tokens, _BATCH_INPUTS)
            capacity = max(self._window, num_tokens)
            self._context = EmbeddingContext(self._model, options, capacity, _BATCH_INPUTS)
        except BaseException:
            self._model.close()
            raise
        try:
            self._refuse_unsuitable()
            self._tokenizer = LlamaTokenizer(self._model)
            self.encoder = self._encoder()
            self.card = self._card()
        except BaseException:
            self._context.close()
            self._model.close()
            raise
        self._batch = NativeBatch(capacity, num_holders=1, num_slots=_BATCH_INPUTS)

    def compute(self, inputs: Sequence[tuple[int, ...]]) -> list[Vector | EngineFailed]:
        """For each a vector, as the card says, or why there is none."""
        pooled = self._pooled(inputs)
        for index in np.flatnonzero(~np.isfinite(pooled).all(axis=1)):
            # Another input of the batch may be at fault, or one before: a NaN spreads.
            (pooled[index],) = self._pooled([inputs[index]])
        return [self._finished(each) for each in pooled]

    def _finished(self, pooled: Vector) -> Vector | EngineFailed:
        try:
            return finished(pooled, self.card)
        except EngineFailed as error:
            return error

    def _pooled(self, inputs: Sequence[tuple[int, ...]]) -> list[Vector]:
        token_ids = [token_id for each in inputs for token_id in each]
        count = len(token_ids)
        self._batch.token_ids[:count] = token_ids
        self._batch.positions[:count] = [at for each in inputs for at in range(len(each))]
        self._batch.put_slots([slot for slot, each in enumerate(inputs) for _ in each])
        self._batch.wants_logits[:count] = 1
        pooled = self._context.compute(self._batch, count, len(inputs))
        if not np.isfinite(pooled).all():
            self._context.wipe()
        return pooled

    def close(self) -> None:
        self._tokenizer.close()
        self._batch.close()
        self._context.close()
        self._model.close()

    def _refuse_unsuitable(self) -> None:
        name = self._options.model_path.name
        if not self._context.pools:
            raise ModelLoadError(f"{name} is no embedding model: its metadata names no pooling")
        if not self._context.ranks_pairs:
            return
        if self._context.num_dimensions != 1:
            raise ModelLoadError(
                f"{name} sorts into {self._context.num_dimensions} classes: it ranks nothing"
            )
        if self._model.metadata("tokenizer.ggml.token_type_count") not in (None, "0", "1"):
            raise ModelLoadError(
                f"{name} tells a query from a document by token types, which llama.cpp leaves out:"
                " its scores would be wrong; choose JARVIS_INFERENCE_ENGINE=vllm"
            )
        if self._model.metadata("tokenizer.chat_template.rerank") is not None:
            raise ModelLoadError(f"{name} wants a prompt of its own for pairs: no score is made")

    def _encoder(self) -> InputEncoder:
        if is_word_piece(self._model):
            return encoder_of_word_pieces(word_pieces(self._model))
        return NativeEncoder(self._tokenizer, special_ids(self._model))

    def _card(self) -> EmbeddingCard:
        model, ranks_pairs = self._model, self._context.ranks_pairs
        place = "GPU" if model.is_offloaded(self._options) else "CPU"
        # A file that does not say wants what llama.cpp's own programs do.
        normalizes = model.metadata(NORMALIZED_KEY) != "false"
        return EmbeddingCard(
            name=self._options.model_name,
            num_dimensions=self._context.num_dimensions,
            context_window=self._window,
            vocabulary_size=model.num_vocabulary,
            is_normalized=normalizes and not ranks_pairs,
            ranks_pairs=ranks_pairs,
            engine_build=f"llama_cpp {version()}, {place}, embeddings",
            weights_digest=weights_digest(self._options.model_path),
        )
