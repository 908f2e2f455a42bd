"""Makes the HTTP application. What it serves is passed in; nothing here is global."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from api import errors, openapi
from api.access.access import Access
from api.access.guard import Guard
from api.access.hosts import HostGuard, host_rule
from api.embedding_calls import ServedEmbedding
from api.identity import Identity
from api.metrics.metrics import Metrics
from api.metrics.sources import MetricSources
from api.reply_log import ReplyLog
from api.request_watch import Observers
from api.responses.kept import KeptResponses, open_responses
from api.routes import (
    capabilities,
    embeddings,
    generate,
    information,
    messages,
    metrics,
    rerank,
    responses,
    server_info,
    tokenization,
    upstream_states,
)
from api.served_names import ServedNames
from api.tracing.layer import SpanMaker, TraceLayer
from api.traffic import Traffic
from backends.upstream import UpstreamHost
from core.settings import Settings
from core.version import VERSION
from serving.embedding import EmbeddingService
from serving.remote.targets import ModelRouter
from serving.service import GenerationService

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


_ROUTES = (
    generate,
    responses,
    embeddings,
    rerank,
    messages,
    tokenization,
    information,
    capabilities,
    upstream_states,
    metrics,
    server_info,
)


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
    *,
    spans: SpanMaker | None = None,
) -> FastAPI:
    """`lifespan` starts the loading of the engines and closes them, and the upstreams. `service` is
    None where upstreams alone answer, `embedding` is there where the settings name an embedding
    model, `spans` where traces are wanted. Raises ConfigurationError where the keys, or the file
    for responses, can't be used.
    """
    # What reads from the engine, for as long as it does: see `api/pump.py`.
    running: set[asyncio.Task[None]] = set()
    traffic = Traffic(settings.request_timeout_s)
    access = Access.open(settings)
    kept = open_responses(settings, running)
    app = _App(
        title="Jarvis LLM Proxy",
        version=VERSION,
        description="One's own language models behind the OpenAI API, whichever engine runs them.",
        lifespan=_closing(kept, access, lifespan),
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
    app.state.started_at = time.monotonic()
    app.state.traffic = traffic
    app.state.access = access
    app.state.bounds = settings.bounds
    # Set by who owns the sockets.
    app.state.connections = None
    sources = MetricSources(
        VERSION,
        settings.served_model_id,
        service,
        None if service is None else service.turns,
        upstreams,
        lambda: app.state.connections,
    )
    app.state.metrics = Metrics(sources)
    for routes in _ROUTES:
        app.include_router(routes.router)
    errors.install(app)
    _add_layers(app, settings, spans)
    return app


def _add_layers(app: FastAPI, settings: Settings, spans: SpanMaker | None) -> None:
    """From the innermost on: who may come, whence, which pages may, and what is told of it."""
    state = app.state
    observers: Observers = (state.metrics, state.access.observer, ReplyLog())
    app.add_middleware(Guard, gate=state.access)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
        )
    if (hosts := host_rule(settings)) is not None:
        app.add_middleware(HostGuard, rule=hosts)
    if spans is not None:
        observers = (*observers, spans)
    app.add_middleware(Identity, traffic=state.traffic, observers=observers)
    app.add_middleware(TraceLayer, spans=spans)


def _closing(kept: KeptResponses, access: Access, lifespan: Lifespan) -> Lifespan:
    """The lifespan with responses in it: those under way end before the engines close. Changes of
    keys are followed meanwhile.
    """

    @asynccontextmanager
    async def whole(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            access.start()
            try:
                yield
            finally:
                await access.close()
                await kept.close()

    return whole


def _served_embedding(
    settings: Settings, service: EmbeddingService | None
) -> ServedEmbedding | None:
    model_id = settings.served_embedding_id
    if service is None or model_id is None:
        return None
    return ServedEmbedding(service, ServedNames(model_id, settings.embedding_aliases))
