"""Owns the life of the one engine a process holds: load, ready, failed, draining, closed.

Knows no engine in particular: what opens a backend is passed in. Serving sees it as an EngineHost.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from backends.base import Backend, ModelCard, Tokenizer, TokenRequest, TokenStep
from core.errors import EngineUnavailable, JarvisError
from core.lifecycle import EngineState, EngineStatus, LoadProgress

logger = logging.getLogger(__name__)

OpenBackend = Callable[[Callable[[LoadProgress], None]], Awaitable[Backend]]
Adopt = Callable[[ModelCard, Tokenizer], Awaitable[None]]


class Delegate:
    """Loads in the background while the server already answers. Belongs to one event loop."""

    def __init__(self, engine: str, open_backend: OpenBackend) -> None:
        self._status = EngineStatus(EngineState.LOADING, engine)
        self._open_backend = open_backend
        self._backend: Backend | None = None
        self._life: asyncio.Task[None] | None = None
        self._on_change: Callable[[], None] | None = None

    @property
    def status(self) -> EngineStatus:
        return self._status

    @property
    def card(self) -> ModelCard:
        return self._ready_backend().card

    @property
    def tokenizer(self) -> Tokenizer:
        return self._ready_backend().tokenizer

    def start(self, adopt: Adopt, on_change: Callable[[], None] | None = None) -> None:
        """Begins to load. `adopt` is awaited with a loaded model before the state is READY.

        `on_change` is called after each change of state.
        """
        self._on_change = on_change
        self._life = asyncio.get_running_loop().create_task(self._live(adopt))

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        async with aclosing(self._ready_backend().generate(request)) as steps:
            async for step in steps:
                yield step

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

    async def _end_life(self) -> None:
        if self._life is None:
            return
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)

    async def _live(self, adopt: Adopt) -> None:
        try:
            backend = self._backend = await self._open_backend(self._report)
            await backend.start(self._report)
            await adopt(backend.card, backend.tokenizer)
            self._become(EngineState.READY)
            reason = await backend.wait_failed()
        except JarvisError as error:
            reason = str(error)
        except Exception as error:
            logger.exception("engine=%s failed to load", self._status.engine)
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
        logger.log(level, "engine=%s state=%s %s", self._status.engine, state, reason or "")
        if self._on_change is not None:
            self._on_change()

    def _report(self, progress: LoadProgress) -> None:
        """From any thread: one assignment, and only while loading."""
        if self._status.state is EngineState.LOADING:
            self._status = EngineStatus(EngineState.LOADING, self._status.engine, progress)

    def _ready_backend(self) -> Backend:
        state = self._status.state
        if self._backend is None or state is not EngineState.READY:
            reason = f": {self._status.reason}" if self._status.reason else ""
            raise EngineUnavailable(f"the engine is {state}{reason}")
        return self._backend
