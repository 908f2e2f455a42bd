"""Owns the llama.cpp embedding engine as the seam sees it: the loop's side of its thread."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from backends.conversion_listener import Listener
from backends.daemon_thread import in_daemon_thread
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
from backends.weights_digest import weights_digest
from core.errors import EngineFailed, EngineUnavailable, JarvisError, ModelLoadError
from core.lifecycle import LoadProgress

T = TypeVar("T")


class LlamaEmbeddingBackend:
    """Implements `backends.embedding.EmbeddingBackend`, for the loop that called `start`."""

    def __init__(
        self, options: LlamaOptions, probe_of: Callable[[LlamaOptions], Probe], cache_dir: Path
    ) -> None:
        """The options may name a Hugging Face folder: its GGUF is made in `cache_dir`."""
        self._options = options
        self._probe_of = probe_of
        self._cache_dir = cache_dir
        self._probe: Probe | None = None
        self._closing = threading.Event()
        self._folder_digest: str | None = None
        self._engine: EmbedderThread | None = None
        self._loaded: asyncio.Future[LoadedEmbedder] | None = None
        self._stopped: asyncio.Future[str] | None = None
        self._waiting: dict[int, asyncio.Future[list[Vector]]] = {}
        self._keys = itertools.count()
        self._is_abandoned = False
        self._ended = asyncio.Event()

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        """Raises ModelLoadError; EngineUnavailable where `close` came first."""
        if self._options.model_path.is_dir():
            await in_daemon_thread(partial(self._convert, Listener(report, self._closing)))
        self._refuse_if_closed()
        report(LoadProgress("trying the embedding model in a child process"))
        self._probe = self._probe_of(self._options)
        await self._probe.run()
        self._refuse_if_closed()
        loop = asyncio.get_running_loop()
        self._loaded, self._stopped = loop.create_future(), loop.create_future()
        listener = EmbedderListener(
            progress=report,
            loaded=lambda loaded: _call_on(loop, self._on_loaded, loaded),
            embedded=lambda embedded: _call_on(loop, self._on_embedded, embedded),
            stopped=lambda failure: _call_on(loop, self._on_stopped, failure),
        )
        engine = EmbedderThread(self._options, listener)
        engine.start()
        self._engine = engine
        await self._loaded

    @property
    def card(self) -> EmbeddingCard:
        return self._result.card

    @property
    def encoder(self) -> InputEncoder:
        return self._result.encoder

    @property
    def num_steps(self) -> int:
        return 0 if self._engine is None else self._engine.num_steps

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
        self._closing.set()
        if self._probe is not None:
            self._probe.cancel()
        if self._engine is None:
            return
        self._engine.close()
        # Waited for here and not in a thread, which would wait on if this were cancelled.
        await self._ended.wait()
        if not self._is_abandoned:
            await asyncio.to_thread(self._engine.join)

    async def abandon(self, reason: str) -> bool:
        """No thread can be ended from outside: it is left to itself, and to the process's end."""
        self._is_abandoned = True
        self._fail_all(reason)
        self._ended.set()
        return False

    @property
    def _result(self) -> LoadedEmbedder:
        if self._loaded is None or not self._loaded.done() or self._loaded.exception():
            raise EngineUnavailable("the embedding engine has not loaded its model")
        return self._loaded.result()

    def _convert(self, listener: Listener) -> None:
        """Blocks, in a thread of its own; the options then name the GGUF."""
        # Here and not at the top: importing gguf may take seconds.
        from backends.embedding_conversion.converting import gguf_of_folder

        folder = self._options.model_path
        gguf = gguf_of_folder(folder, self._options.model_name, self._cache_dir, listener)
        self._folder_digest = weights_digest(folder, listener.check)
        self._options = replace(self._options, model_path=gguf)

    def _refuse_if_closed(self) -> None:
        if self._closing.is_set():
            raise EngineUnavailable("the embedding engine was closed while it loaded")

    def _running_engine(self) -> EmbedderThread:
        is_stopped = self._stopped is None or self._stopped.done()
        is_ending = self._closing.is_set() or self._is_abandoned
        if self._engine is None or is_stopped or is_ending:
            raise EngineUnavailable("the embedding engine takes no requests")
        return self._engine

    def _on_loaded(self, loaded: LoadedEmbedder) -> None:
        if self._folder_digest is not None:
            # Weights are known by what was given, not by what was made of it.
            card = replace(loaded.card, weights_digest=self._folder_digest)
            loaded = replace(loaded, card=card)
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_result(loaded)

    def _on_embedded(self, embedded: Embedded) -> None:
        done = self._waiting.get(embedded.key)
        if done is None or done.done():
            return
        if embedded.failure is None:
            done.set_result(embedded.vectors)
        else:
            done.set_exception(EngineFailed(embedded.failure))

    def _on_stopped(self, failure: JarvisError | None) -> None:
        reason = str(failure) if failure else "the embedding engine was closed"
        if self._loaded is not None and not self._loaded.done():
            self._loaded.set_exception(_load_error(failure, reason))
        self._fail_all(reason)
        if self._stopped is not None and not self._stopped.done() and failure is not None:
            self._stopped.set_result(reason)
        self._ended.set()

    def _fail_all(self, reason: str) -> None:
        for done in self._waiting.values():
            if not done.done():
                done.set_exception(EngineFailed(reason))


def _load_error(failure: JarvisError | None, reason: str) -> JarvisError:
    if failure is None:
        return EngineUnavailable(reason)
    return ModelLoadError(reason) if isinstance(failure, EngineFailed) else failure


def _call_on(loop: asyncio.AbstractEventLoop, call: Callable[[T], None], value: T) -> None:
    """Hands over to the loop; a loop that is already closed has nobody left to tell."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, value)
