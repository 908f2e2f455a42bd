"""Owns the one engine a process generates with, for as long as it lives (engine_life.py).

Knows no engine in particular: what opens a backend is passed in. Serving sees it as an EngineHost.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from backends.base import Backend, ModelCard, Tokenizer, TokenRequest, TokenStep
from backends.engine_life import Death, EngineLife
from backends.step_watch import StepWatch
from core.engine_stats import IDLE, EngineStats
from core.lifecycle import EngineState, LoadProgress

OpenBackend = Callable[[Callable[[LoadProgress], None]], Awaitable[Backend]]
Adopt = Callable[[ModelCard, Tokenizer], Awaitable[None]]


class Delegate(EngineLife[Backend]):
    """The engine that continues token sequences."""

    _watch: StepWatch | None = None

    @property
    def card(self) -> ModelCard:
        return self._ready_backend().card

    @property
    def tokenizer(self) -> Tokenizer:
        return self._ready_backend().tokenizer

    @property
    def stats(self) -> EngineStats:
        """All zero while no engine works."""
        is_there = self._status.state in (EngineState.READY, EngineState.DRAINING)
        return self._backend.stats if self._backend is not None and is_there else IDLE

    def start(self, adopt: Adopt, on_change: Callable[[], None] | None = None) -> None:
        """Begins to load. `adopt` is awaited with a loaded model before the state is READY.

        `on_change` is called after each change of state.
        """
        self._begin(lambda backend: adopt(backend.card, backend.tokenizer), on_change)

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        backend, watch = self._ready_backend(), self._watch
        if watch is not None:
            watch.begin()
        try:
            async with aclosing(backend.generate(request)) as steps:
                async for step in steps:
                    yield step
        finally:
            if watch is not None:
                watch.end()

    async def _wait_death(self, backend: Backend) -> Death:
        """By its own word, or because it makes no step."""
        if self._rules.step_timeout_s is None:
            return await super()._wait_death(backend)
        watch = StepWatch(self._rules.step_timeout_s, lambda: backend.stats.num_steps)
        self._watch = watch
        deaths = asyncio.create_task(backend.wait_failed())
        stalls = asyncio.create_task(watch.wait_stalled())
        try:
            await asyncio.wait({deaths, stalls}, return_when=asyncio.FIRST_COMPLETED)
            return Death(await deaths) if deaths.done() else Death(await stalls, is_stall=True)
        finally:
            watch.close()
            self._watch = None
            deaths.cancel()
            stalls.cancel()
