"""Owns the life of an engine that a process holds: load, ready, failed, draining, closed.

Knows no engine in particular and nothing of what it makes: what opens it is passed in.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import ClassVar, Generic, Protocol, TypeVar

from core.errors import EngineUnavailable, JarvisError
from core.lifecycle import EngineState, EngineStatus, LoadProgress


class Living(Protocol):
    """What every backend has, whichever seam it stands below."""

    async def start(self, report: Callable[[LoadProgress], None]) -> None: ...

    async def wait_failed(self) -> str: ...

    async def close(self) -> None: ...


B = TypeVar("B", bound=Living)


class EngineLife(Generic[B]):
    """Loads in the background while the server already answers. Belongs to one event loop."""

    # How errors call it.
    role: ClassVar[str] = "engine"

    def __init__(
        self,
        engine: str,
        open_backend: Callable[[Callable[[LoadProgress], None]], Awaitable[B]],
    ) -> None:
        self._status = EngineStatus(EngineState.LOADING, engine)
        self._open_backend = open_backend
        self._backend: B | None = None
        self._life: asyncio.Task[None] | None = None
        self._on_change: Callable[[], None] | None = None
        # Several live in one process: a line names its kind.
        self._logger = logging.getLogger(type(self).__module__)

    @property
    def status(self) -> EngineStatus:
        return self._status

    async def close(self) -> None:
        """Refuses new requests, ends live ones with an error, frees the engine. Idempotent."""
        if self._status.state in (EngineState.CLOSED, EngineState.DRAINING):
            return
        self._become(EngineState.DRAINING)
        try:
            if self._backend is not None:
                await self._backend.close()
        finally:
            await self._end_life()
            self._become(EngineState.CLOSED)

    def _begin(
        self, adopt: Callable[[B], Awaitable[None]], on_change: Callable[[], None] | None
    ) -> None:
        """Begins to load. `adopt` is awaited with the loaded backend before the state is READY."""
        self._on_change = on_change
        self._life = asyncio.get_running_loop().create_task(self._live(adopt))

    def _ready_backend(self) -> B:
        """Raises EngineUnavailable unless the state is READY."""
        state = self._status.state
        if self._backend is None or state is not EngineState.READY:
            reason = f": {self._status.reason}" if self._status.reason else ""
            raise EngineUnavailable(f"the {self.role} is {state}{reason}")
        return self._backend

    async def _end_life(self) -> None:
        if self._life is None:
            return
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)

    async def _live(self, adopt: Callable[[B], Awaitable[None]]) -> None:
        try:
            backend = self._backend = await self._open_backend(self._report)
            await backend.start(self._report)
            await adopt(backend)
            self._become(EngineState.READY)
            reason = await backend.wait_failed()
        except JarvisError as error:
            reason = str(error)
        except Exception as error:
            self._logger.exception("engine=%s failed to load", self._status.engine)
            reason = f"loading failed with {type(error).__name__}; the log has the details"
        await self._fail(reason)

    async def _fail(self, reason: str) -> None:
        if self._status.state is EngineState.DRAINING:
            return
        self._become(EngineState.FAILED, reason)
        if self._backend is not None:
            await self._backend.close()

    def _become(self, state: EngineState, reason: str | None = None) -> None:
        self._status = EngineStatus(state, self._status.engine, reason=reason)
        level = logging.ERROR if state is EngineState.FAILED else logging.INFO
        self._logger.log(level, "engine=%s state=%s %s", self._status.engine, state, reason or "")
        if self._on_change is not None:
            self._on_change()

    def _report(self, progress: LoadProgress) -> None:
        """From any thread: one assignment, and only while loading."""
        if self._status.state is EngineState.LOADING:
            self._status = EngineStatus(EngineState.LOADING, self._status.engine, progress)
