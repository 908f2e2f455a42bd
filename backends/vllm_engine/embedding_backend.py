"""Owns the vLLM embedding engine as the seam sees it. Imports no vllm."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from backends.embedding import EmbeddingCard, InputEncoder, Vector
from backends.embedding_inputs import finished, refuse_invalid
from backends.vllm_engine.embedding_loading import (
    EmbeddingModel,
    LoadedEmbedding,
    load_embedding,
)
from backends.vllm_engine.process_life import ProcessLife
from core.lifecycle import LoadProgress
from core.settings import Settings


class VllmEmbeddingBackend:
    """Implements `backends.embedding.EmbeddingBackend`, for the loop that called `start`.

    It may run beside a VllmBackend: each has an engine process of its own.
    """

    def __init__(self, settings: Settings, model_path: Path, name: str) -> None:
        """`model_path` is a Hugging Face folder or a GGUF on this machine."""
        model = EmbeddingModel(model_path, name)
        self._life = ProcessLife[LoadedEmbedding](partial(load_embedding, settings, model))

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        """Raises ModelLoadError; EngineUnavailable where `close` came first."""
        await self._life.start(report)

    @property
    def card(self) -> EmbeddingCard:
        return self._life.loaded.card

    @property
    def encoder(self) -> InputEncoder:
        return self._life.loaded.encoder

    @property
    def num_steps(self) -> int:
        return self._life.loaded.engine.stats.num_steps if self._life.is_loaded else 0

    async def embed(self, request_id: str, inputs: Sequence[tuple[int, ...]]) -> list[Vector]:
        """Raises InvalidValue and ContextLengthExceeded for what is checked above."""
        working = self._life.working
        refuse_invalid(inputs, working.card)
        ranks = working.card.ranks_pairs
        pooled = await working.engine.pool(request_id, inputs, ranks=ranks)
        return [finished(each, working.card) for each in pooled]

    async def wait_failed(self) -> str:
        return await self._life.wait_failed()

    async def abandon(self, reason: str) -> bool:
        return await self._life.abandon(reason)

    async def close(self) -> None:
        await self._life.close()
