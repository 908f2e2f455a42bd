"""Owns the one engine a process generates with, for as long as it lives (engine_life.py).

Knows no engine in particular: what opens a backend is passed in. Serving sees it as an EngineHost.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from backends.base import Backend, ModelCard, Tokenizer, TokenRequest, TokenStep
from backends.engine_life import EngineLife
from core.engine_stats import IDLE, EngineStats
from core.lifecycle import EngineState, LoadProgress

OpenBackend = Callable[[Callable[[LoadProgress], None]], Awaitable[Backend]]
Adopt = Callable[[ModelCard, Tokenizer], Awaitable[None]]


class Delegate(EngineLife[Backend]):
    """The engine that continues token sequences."""

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
        backend = self._ready_backend()
        with self._watched():
            async with aclosing(backend.generate(request)) as steps:
                async for step in steps:
                    yield step

    def _num_steps(self, backend: Backend) -> int:
        return backend.stats.num_steps
