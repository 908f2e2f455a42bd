"""Owns the life of one vLLM engine on the event loop: its start, its death, its end.

Knows not what the engine makes, and imports no vllm.
"""

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from backends.conversion_listener import Listener
from backends.vllm_engine.children import child_ids
from core.errors import (
    ConfigurationError,
    EngineFailed,
    EngineUnavailable,
    JarvisError,
    ModelLoadError,
)
from core.lifecycle import LoadProgress

if TYPE_CHECKING:
    from backends.vllm_engine.engine import VllmEngine

_KILL_AGAIN_S = 0.2


class HasEngine(Protocol):
    """What a load brings: the engine, and more that is its user's own affair."""

    @property
    def engine(self) -> "VllmEngine": ...


LoadedT = TypeVar("LoadedT", bound=HasEngine)


class ProcessLife(Generic[LoadedT]):
    """All methods belong to the loop that called `start`."""

    def __init__(self, load: Callable[[Listener], LoadedT]) -> None:
        """`load` blocks, in a thread; it gives up soon once its listener says so."""
        self._load = load
        self._cancelled = threading.Event()
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="vllm-engine")
        self._others: frozenset[int] = frozenset()
        self._loading: asyncio.Future[LoadedT] | None = None
        self._running: LoadedT | None = None
        self._dead: asyncio.Future[str] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        """Raises ModelLoadError; EngineUnavailable where `close` came first."""
        self._refuse_if_closed()
        loop = asyncio.get_running_loop()
        self._others = child_ids()
        self._dead = loop.create_future()
        listener = Listener(report, self._cancelled)
        self._loading = loop.run_in_executor(self._threads, self._load, listener)
        loaded = await self._loaded(self._loading)
        await self._prepared(loaded)
        self._running = loaded
        report(LoadProgress("ready", 1.0))

    @property
    def is_loaded(self) -> bool:
        return self._running is not None

    @property
    def loaded(self) -> LoadedT:
        """Raises EngineUnavailable before `start` has returned."""
        if self._running is None:
            raise EngineUnavailable("the vLLM engine has not loaded its model")
        return self._running

    @property
    def working(self) -> LoadedT:
        """Raises EngineUnavailable where the engine takes no requests."""
        is_dead = self._dead is not None and self._dead.done()
        if self._running is None or is_dead or self._cancelled.is_set():
            raise EngineUnavailable("the vLLM engine takes no requests")
        return self._running

    async def wait_failed(self) -> str:
        if self._dead is None:
            raise EngineUnavailable("the vLLM engine was not started")
        return await asyncio.shield(self._dead)

    async def abandon(self, reason: str) -> bool:
        """Live sequences end with EngineFailed, the processes by force."""
        engine = self.loaded.engine
        self._die(reason)
        engine.unwatch()
        engine.fail_live()
        await asyncio.get_running_loop().run_in_executor(self._threads, engine.kill)
        return True

    async def close(self) -> None:
        self._cancelled.set()
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        loaded = await self._end_loading()
        if loaded is not None:
            loaded.engine.unwatch()
            loaded.engine.fail_live()
            loaded.engine.end_reading()
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, loaded.engine.shutdown)
            await loaded.engine.release()
        self._threads.shutdown(wait=False)

    async def _end_loading(self) -> LoadedT | None:
        """The engine, if there is one after all. vLLM tells nobody when it has started a process,
        so a load under way is ended by killing what there is until the load gives up.
        """
        if self._loading is None:
            return None
        loop = asyncio.get_running_loop()
        while not self._loading.done():
            await loop.run_in_executor(self._threads, _kill_starting_engine, self._others)
            await asyncio.wait({self._loading}, timeout=_KILL_AGAIN_S)
        return None if self._loading.exception() else self._loading.result()

    async def _loaded(self, loading: asyncio.Future[LoadedT]) -> LoadedT:
        """A cancelled start leaves the thread at work: `close` sees to its end."""
        try:
            return await asyncio.shield(loading)
        except ConfigurationError as error:
            raise ModelLoadError(str(error)) from error
        except JarvisError:
            self._refuse_if_closed()
            raise

    async def _prepared(self, loaded: LoadedT) -> None:
        try:
            await loaded.engine.prepare(self._on_death)
        except EngineFailed as error:
            self._refuse_if_closed()
            raise ModelLoadError(str(error)) from error
        self._refuse_if_closed()

    def _refuse_if_closed(self) -> None:
        if self._cancelled.is_set():
            raise EngineUnavailable("the engine was closed while it loaded")

    def _on_death(self) -> None:
        """On the loop, from the engine process's own end."""
        self._die("vLLM's engine process died; its last words are in the log")

    def _die(self, reason: str) -> None:
        if self._dead is not None and not self._dead.done() and not self._cancelled.is_set():
            self._dead.set_result(reason)


def _kill_starting_engine(others: frozenset[int]) -> None:
    """Nothing to do until vllm is imported, which only the load itself may do."""
    engine = sys.modules.get("backends.vllm_engine.engine")
    kill = getattr(engine, "kill_starting_engine", None)
    if kill is not None:
        kill(others)
