"""Owns an engine in this process, as the library's calls see it: llama.cpp or vLLM."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from backends.base import Backend
from backends.choice import open_backend
from backends.delegate import Delegate, OpenBackend
from core.errors import EngineUnavailable, ModelLoadError
from core.events import GenerationEvent
from core.lifecycle import EngineState, LoadProgress
from core.requests import GenerationRequest
from core.settings import Settings
from serving.service import GenerationService, ServingOptions


class LocalEngine:
    """Implements Answering over the pipeline that the server has."""

    def __init__(self, settings: Settings, opened: OpenBackend | None = None) -> None:
        """`opened` makes the backend; without it, the settings say which."""

        async def open_chosen(report: Callable[[LoadProgress], None]) -> Backend:
            return await open_backend(settings, report)

        options = ServingOptions(
            settings.chat_format, settings.default_sampling, settings.use_model_sampling
        )
        self._delegate = Delegate(settings.inference_engine, opened or open_chosen)
        self._service = GenerationService(self._delegate, options)

    async def start(self) -> None:
        has_changed = asyncio.Event()
        self._delegate.start(self._service.adopt, on_change=has_changed.set)
        await has_changed.wait()
        status = self._delegate.status
        if status.state is EngineState.FAILED:
            raise ModelLoadError(status.reason or "the model can't be loaded")
        if status.state is not EngineState.READY:
            raise EngineUnavailable("the engine was closed while it loaded")

    async def close(self) -> None:
        await self._delegate.close()

    async def unavailability(self) -> str | None:
        status = self._delegate.status
        if status.state is EngineState.READY:
            return None
        return status.reason or f"the engine is {status.state}"

    async def answer(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        generation = (await self._service.prepare(request))[0]
        async with aclosing(generation.events()) as events:
            async for event in events:
                yield event
