"""The real application with a scripted embedding model beside a scripted chat model, on a port."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from api.app import create_app
from backends.base import Backend
from backends.delegate import Delegate
from backends.embedding import EmbeddingBackend
from backends.embedding_delegate import EmbeddingDelegate
from backends.scripted_embedding import ScriptedEmbedding
from core.lifecycle import EngineState, LoadProgress
from serving.embedding import EmbeddingService
from serving.service import GenerationService, ServingOptions
from tests.engines import listening, settings_for
from tests.script import scripted_backend

OpenEmbedding = Callable[[Callable[[LoadProgress], None]], Any]
MODEL = "mini"


@dataclass(frozen=True)
class ServedEmbedding:
    """A client of the application, and the embedding model's life below it."""

    client: httpx.AsyncClient
    delegate: EmbeddingDelegate

    async def embed(self, value: Any, **fields: Any) -> httpx.Response:
        return await self.client.post("/v1/embeddings", json={"input": value} | fields)

    async def rerank(self, query: Any, documents: Any, **fields: Any) -> httpx.Response:
        body = {"query": query, "documents": documents} | fields
        return await self.client.post("/v1/rerank", json=body)

    async def score(self, text_1: Any, text_2: Any, **fields: Any) -> httpx.Response:
        body = {"text_1": text_1, "text_2": text_2} | fields
        return await self.client.post("/v1/score", json=body)

    async def until(self, state: EngineState) -> None:
        """A delegate tells of its changes to one listener alone: here the loop's turns do."""
        while self.delegate.status.state is not state:
            await asyncio.sleep(0)


@dataclass(frozen=True)
class Running:
    """An application that several tests share, and the backend that takes note of its calls."""

    app: ServedEmbedding
    backend: ScriptedEmbedding


def opening(backend: EmbeddingBackend) -> OpenEmbedding:
    async def open_backend(_: Callable[[LoadProgress], None]) -> EmbeddingBackend:
        return backend

    return open_backend


def application(embedder: EmbeddingDelegate, chat: Backend | None = None, **flags: str) -> FastAPI:
    """With a chat model that is always ready soon."""

    async def open_chat(_: Callable[[LoadProgress], None]) -> Backend:
        return chat or scripted_backend()

    delegate = Delegate("llama_cpp", open_chat)
    service, is_ready = GenerationService(delegate, ServingOptions("chatml")), asyncio.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as engines:
            engines.push_async_callback(delegate.close)
            engines.push_async_callback(embedder.close)
            delegate.start(service.adopt, on_change=is_ready.set)
            embedder.start()
            await is_ready.wait()
            yield

    settings = settings_for("llama_cpp", JARVIS_EMBEDDING_MODEL=f"folder/{MODEL}.gguf", **flags)
    return create_app(settings, service, lifespan, EmbeddingService(embedder))


@asynccontextmanager
async def served_over(open_backend: OpenEmbedding, **flags: str) -> AsyncIterator[ServedEmbedding]:
    """In whichever state the embedding model is."""
    delegate = EmbeddingDelegate("llama_cpp", open_backend)
    async with (
        listening(application(delegate, None, **flags)) as url,
        httpx.AsyncClient(base_url=url, timeout=5) as client,
    ):
        yield ServedEmbedding(client, delegate)


@asynccontextmanager
async def served_embedding(
    backend: ScriptedEmbedding, **flags: str
) -> AsyncIterator[ServedEmbedding]:
    """When the embedding model is ready."""
    async with served_over(opening(backend), **flags) as app:
        await app.until(EngineState.READY)
        yield app
