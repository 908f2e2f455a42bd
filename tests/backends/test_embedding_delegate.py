"""The embedding engine's life: its own states and words, apart from the chat engine's."""

import asyncio
from collections.abc import Callable

import pytest

from backends.embedding import EmbeddingBackend
from backends.embedding_delegate import EmbeddingDelegate
from backends.scripted_embedding import ScriptedEmbedding
from core.errors import EngineUnavailable, ModelLoadError
from core.lifecycle import EngineState, LoadProgress


async def started(delegate: EmbeddingDelegate, state: EngineState) -> None:
    changed = asyncio.Event()
    delegate.start(changed.set)
    while delegate.status.state is not state:
        changed.clear()
        await changed.wait()


async def test_a_ready_one_embeds_and_a_closed_one_refuses() -> None:
    async def open_backend(_: Callable[[LoadProgress], None]) -> EmbeddingBackend:
        return ScriptedEmbedding()

    delegate = EmbeddingDelegate("scripted", open_backend)
    with pytest.raises(EngineUnavailable, match="the embedding engine is loading"):
        await delegate.embed("one", [(1,)])
    await started(delegate, EngineState.READY)
    (vector,) = await delegate.embed("one", [(1,)])
    assert vector.shape == (delegate.card.num_dimensions,)
    assert delegate.encoder.encode("a")
    await delegate.close()
    with pytest.raises(EngineUnavailable, match="the embedding engine is closed"):
        await delegate.embed("one", [(1,)])


async def test_one_that_can_not_load_says_why() -> None:
    async def open_backend(_: Callable[[LoadProgress], None]) -> EmbeddingBackend:
        raise ModelLoadError("there is no such file")

    delegate = EmbeddingDelegate("scripted", open_backend)
    await started(delegate, EngineState.FAILED)
    assert delegate.status.reason == "there is no such file"
    with pytest.raises(EngineUnavailable, match="failed: there is no such file"):
        _ = delegate.card
    await delegate.close()
