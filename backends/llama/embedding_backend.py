"""Owns the llama.cpp embedding engine as the seam sees it: the loop's side of its thread."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

from backends.embedding import EmbeddingCard, InputEncoder, Vector
from backends.embedding_inputs import refuse_invalid
from backends.llama.embedder_thread import (
    Embedded,
    EmbedderListener,
    EmbedderThread,
    LoadedEmbedder,
)
from backends.llama.options import LlamaOptions
from backends.llama.probing import Probe
from core.errors import EngineFailed, EngineUnavailable, JarvisError, ModelLoadError
from core.lifecycle import LoadProgress

T = TypeVar("T")


class LlamaEmbeddingBackend:
    """Implements `backends.embedding.EmbeddingBackend`, for the loop that called `start`."""

    def __init__(self, options: LlamaOptions, probe: Probe) -> None:
        self._options = options
        self._probe = probe
        self._engine: EmbedderThread | None = None
        self._loaded: asyncio.Future[LoadedEmbedder] | None = None
        self._stopped: asyncio.Future[str] | None = None
        self._waiting: dict[int, asyncio.Future[list[Vector]]] = {}
        self._keys = itertools.count()
        self._is_closing = False

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        """Raises ModelLoadError; EngineUnavailable where `close` came first."""
        report(LoadProgress("trying the embedding model in a child process"))
        await self._probe.run()
        if self._is_closing:
            raise EngineUnavailable("the embedding engine was closed while it loaded")
        loop = asyncio.get_running_loop()
        self._loaded, self._stopped = loop.create_future(), loop.create_future()
        listener = EmbedderListener(
            progress=report,
            loaded=lambda loaded: _call_on(loop, self._on_loaded, loaded),
            embedded=lambda embedded: _call_on(loop, self._on_embedded, embedded),
            stopped=lambda failure: _call_on(loop, self._on_stopped, failure),
        )
        self._engine = EmbedderThread(self._options, listener)
        self._engine.start()
        await self._loaded

    @property
    def card(self) -> EmbeddingCard:
        return self._result.card

    @property
    def encoder(self) -> InputEncoder:
        return self._result.encoder

    async def embed(self, request_id: str, inputs: Sequence[tuple[int, ...]]) -> list[Vector]:
        """Raises InvalidValue and ContextLengthExceeded for what is checked above."""
        engine = self._running_engine()
        refuse_invalid(inputs, self.card)
        if not inputs:
            return []
        key = next(self._keys)
        done: asyncio.Future[list[Vector]] = asyncio.get_running_loop().create_future()
        self._waiting[key] = done
        engine.submit(key, tuple(inputs))
        try:
            return await done
        except asyncio.CancelledError:
            engine.abort(key)
            raise
        finally:
            del self._waiting[key]

    async def wait_failed(self) -> str:
        if self._stopped is None:
            raise EngineUnavailable("the embedding engine was not started")
        return await asyncio.shield(self._stopped)

    async def close(self) -> None:
        self._is_closing = True
        self._probe.cancel()
        if self._engine is not None:
            self._engine.close()
            await asyncio.to_thread(self._engine.join)

    @property
    def _result(self) -> LoadedEmbedder:
        if self._loaded is None or not self._loaded.done() or self._loaded.exception():
            raise EngineUnavailable("the embedding engine has not loaded its model")
        return self._loaded.result()

    def _running_engine(self) -> EmbedderThread:
        is_stopped = self._stopped is None or self._stopped.done()
        if self._engine is None or is_stopped or self._is_closing:
            raise EngineUnavailable("the embedding engine takes no requests")
        return self._engine

    def _on_loaded(self, loaded: LoadedEmbedder) -> None:
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_result(loaded)

    def _on_embedded(self, embedded: Embedded) -> None:
        done = self._waiting.get(embedded.key)
        if done is not None and not done.done():
            done.set_result(embedded.vectors)

    def _on_stopped(self, failure: JarvisError | None) -> None:
        reason = str(failure) if failure else "the embedding engine was closed"
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_exception(_load_error(failure, reason))
        for done in self._waiting.values():
            if not done.done():
                done.set_exception(EngineFailed(reason))
        if self._stopped is not None and not self._stopped.done() and failure is not None:
            self._stopped.set_result(reason)


def _load_error(failure: JarvisError | None, reason: str) -> JarvisError:
    if failure is None:
        return EngineUnavailable(reason)
    return ModelLoadError(reason) if isinstance(failure, EngineFailed) else failure


def _call_on(loop: asyncio.AbstractEventLoop, call: Callable[[T], None], value: T) -> None:
    """Hands over to the loop; a loop that is already closed has nobody left to tell."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, value)
