"""A backend that makes vectors of ids by arithmetic, for tests of what stands above the seam."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from backends.embedding import EmbeddingCard, InputEncoder, Vector
from core.errors import EngineFailed, EngineUnavailable
from core.lifecycle import LoadProgress

BEGIN_ID, SEPARATOR_ID = 256, 257
_NUM_IDS = 258


class ByteEncoder:
    """Implements `backends.embedding.InputEncoder`: an id a byte, with marks around each text."""

    def encode(self, text: str) -> tuple[int, ...]:
        return (BEGIN_ID, *text.encode("utf-8", "replace"), SEPARATOR_ID)

    def encode_pair(self, query: str, document: str) -> tuple[int, ...]:
        return (*self.encode(query), *self.encode(document)[1:])


def byte_counts(ids: tuple[int, ...], num_dimensions: int) -> Vector:
    """How often each id occurs, folded into so many numbers: alike where texts share letters."""
    return np.bincount([each % num_dimensions for each in ids], minlength=num_dimensions).astype(
        np.float32
    )


def shared_letters(ids: tuple[int, ...]) -> float:
    """The score of a pair: how many different ids both parts have, less two."""
    end = ids.index(SEPARATOR_ID)
    return float(len(set(ids[1:end]) & set(ids[end + 1 : -1])) - 2)


class ScriptedEmbedding:
    """Implements `backends.embedding.EmbeddingBackend`.

    `gate`, where given, is awaited before each call; `transform` may spoil a vector. `calls` are
    the inputs of each call, `num_live` counts calls under way.
    """

    def __init__(
        self,
        *,
        num_dimensions: int = 16,
        context_window: int = 64,
        is_normalized: bool = True,
        ranks_pairs: bool = False,
        gate: Callable[[], asyncio.Future[None]] | None = None,
        transform: Callable[[Vector], Vector] = lambda vector: vector,
    ) -> None:
        self._card = EmbeddingCard(
            name="scripted",
            num_dimensions=1 if ranks_pairs else num_dimensions,
            context_window=context_window,
            vocabulary_size=_NUM_IDS,
            is_normalized=is_normalized,
            ranks_pairs=ranks_pairs,
            engine_build="scripted",
            weights_digest="",
        )
        self._gate = gate
        self._transform = transform
        self._is_started = False
        self._failure: asyncio.Future[str] | None = None
        self.num_live = 0
        self.num_steps = 0
        self.calls: list[list[tuple[int, ...]]] = []

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        report(LoadProgress("reading the script", 1.0))
        self._failure = asyncio.get_running_loop().create_future()
        self._is_started = True

    @property
    def card(self) -> EmbeddingCard:
        self._refuse_unless_started()
        return self._card

    @property
    def encoder(self) -> InputEncoder:
        self._refuse_unless_started()
        return ByteEncoder()

    async def embed(self, request_id: str, inputs: Sequence[tuple[int, ...]]) -> list[Vector]:
        self._refuse_unless_started()
        assert all(0 < len(ids) <= self._card.context_window for ids in inputs), "checked above"
        self.calls.append(list(inputs))
        self.num_live += 1
        try:
            await (asyncio.sleep(0) if self._gate is None else self._gate())
            self.num_steps += 1
            return [self._transform(self._vector(ids)) for ids in inputs]
        finally:
            self.num_live -= 1

    async def wait_failed(self) -> str:
        self._refuse_unless_started()
        assert self._failure is not None
        return await asyncio.shield(self._failure)

    async def close(self) -> None:
        self._is_started = False

    def fail(self, reason: str) -> None:
        """Dies as an engine does: `wait_failed` returns, and calls get EngineFailed."""
        assert self._failure is not None
        self._failure.set_result(reason)

    def _vector(self, ids: tuple[int, ...]) -> Vector:
        assert self._failure is not None
        if self._failure.done():
            raise EngineFailed(self._failure.result())
        if self._card.ranks_pairs:
            return np.array([shared_letters(ids)], np.float32)
        vector = byte_counts(ids, self._card.num_dimensions)
        return vector / np.linalg.norm(vector) if self._card.is_normalized else vector

    def _refuse_unless_started(self) -> None:
        if not self._is_started:
            raise EngineUnavailable("the script has not been read")
