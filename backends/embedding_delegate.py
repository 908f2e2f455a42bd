"""Owns the one engine a process makes embeddings with, for as long as it lives (engine_life.py).

Knows no engine in particular, and nothing of the chat model beside it: each may fail alone.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from backends.embedding import EmbeddingBackend, EmbeddingCard, InputEncoder, Vector
from backends.engine_life import EngineLife


class EmbeddingDelegate(EngineLife[EmbeddingBackend]):
    """The engine that makes vectors. Serving sees it as an EmbeddingHost."""

    role: ClassVar[str] = "embedding engine"

    @property
    def card(self) -> EmbeddingCard:
        return self._ready_backend().card

    @property
    def encoder(self) -> InputEncoder:
        return self._ready_backend().encoder

    def start(self, on_change: Callable[[], None] | None = None) -> None:
        """Begins to load. `on_change` is called after each change of state."""
        self._begin(_accept, on_change)

    async def embed(self, request_id: str, inputs: Sequence[tuple[int, ...]]) -> list[Vector]:
        backend = self._ready_backend()
        with self._watched():
            return await backend.embed(request_id, inputs)

    def _num_steps(self, backend: EmbeddingBackend) -> int:
        return backend.num_steps


async def _accept(_: EmbeddingBackend) -> None:
    """Nothing is made of an embedding model before it takes requests."""
