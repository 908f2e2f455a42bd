"""Makes the HTTP application. What it serves is passed in; nothing here is global."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api import errors, openapi
from api.embedding_calls import ServedEmbedding
from api.responses.kept import KeptResponses, open_responses
from api.routes import (
    capabilities,
    embeddings,
    generate,
    information,
    messages,
    rerank,
    responses,
    tokenization,
    upstream_states,
)
from api.served_names import ServedNames
from backends.upstream import UpstreamHost
from core.settings import Settings
from serving.embedding import EmbeddingService
from serving.remote.targets import ModelRouter
from serving.service import GenerationService

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class _App(FastAPI):
    """Bodies are read by hand; this tells what they hold all the same."""

    def openapi(self) -> dict[str, Any]:
        return openapi.describe(self)


def create_app(
    settings: Settings,
    service: GenerationService | None,
    lifespan: Lifespan,
    embedding: EmbeddingService | None = None,
    upstreams: UpstreamHost | None = None,
) -> FastAPI:
    """`lifespan` starts the loading of the engines and closes them, and the upstreams. `service` is
    None where upstreams alone answer, `embedding` is there where the settings name an embedding
    model. Raises ConfigurationError where the file for responses can't be used.
    """
    # What reads from the engine, for as long as it does: see `api/pump.py`.
    running: set[asyncio.Task[None]] = set()
    kept = open_responses(settings, running)
    app = _App(
        title="Jarvis LLM Proxy",
        version="0.1.0",
        description="One's own language models behind the OpenAI API, whichever engine runs them.",
        lifespan=_closing(kept, lifespan),
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.names = ServedNames(settings.served_model_id, settings.model_aliases)
    app.state.embedding = _served_embedding(settings, embedding)
    app.state.router = None if upstreams is None else ModelRouter(upstreams)
    app.state.refuses_unknown_fields = settings.strict_fields
    app.state.running = running
    app.state.responses = kept
    app.state.created = int(time.time())
    app.include_router(generate.router)
    app.include_router(responses.router)
    app.include_router(embeddings.router)
    app.include_router(rerank.router)
    app.include_router(messages.router)
    app.include_router(tokenization.router)
    app.include_router(information.router)
    app.include_router(capabilities.router)
    app.include_router(upstream_states.router)
    errors.install(app)
    return app


def _closing(kept: KeptResponses, lifespan: Lifespan) -> Lifespan:
    """The lifespan with responses in it: those under way end before the engines close."""

    @asynccontextmanager
    async def whole(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            try:
                yield
            finally:
                await kept.close()

    return whole


def _served_embedding(
    settings: Settings, service: EmbeddingService | None
) -> ServedEmbedding | None:
    model_id = settings.served_embedding_id
    if service is None or model_id is None:
        return None
    return ServedEmbedding(service, ServedNames(model_id, settings.embedding_aliases))
