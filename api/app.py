"""Makes the HTTP application. What it serves is passed in; nothing here is global."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI

from api import errors, openapi
from api.routes import capabilities, generate, information
from api.served_names import ServedNames
from core.settings import Settings
from serving.service import GenerationService

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class _App(FastAPI):
    """Bodies are read by hand; this tells what they hold all the same."""

    def openapi(self) -> dict[str, Any]:
        return openapi.describe(self)


def create_app(settings: Settings, service: GenerationService, lifespan: Lifespan) -> FastAPI:
    """`lifespan` starts the engine's loading and closes it."""
    app = _App(
        title="Jarvis LLM Proxy",
        version="0.1.0",
        description="One's own language models behind the OpenAI API, whichever engine runs them.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.names = ServedNames(settings.served_model_id, settings.model_aliases)
    app.state.refuses_unknown_fields = settings.strict_fields
    # What reads from the engine, for as long as it does: see `api/pump.py`.
    app.state.running = set()
    app.state.created = int(time.time())
    app.include_router(generate.router)
    app.include_router(information.router)
    app.include_router(capabilities.router)
    errors.install(app)
    return app
