"""Owns the vLLM engine as the seam sees it: its life on the event loop. Imports no vllm."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

from backends.base import ModelCard, Tokenizer, TokenRequest, TokenStep, refuse_too_long
from backends.vllm_engine.loading import Loaded, load
from backends.vllm_engine.process_life import ProcessLife
from core.engine_stats import IDLE, EngineStats
from core.lifecycle import LoadProgress
from core.settings import Settings


class VllmBackend:
    """Implements `backends.base.Backend`. All methods belong to the loop that called `start`."""

    def __init__(self, settings: Settings, model_path: Path) -> None:
        """`model_path` is a GGUF file or a Hugging Face folder on this machine."""
        self._life = ProcessLife[Loaded](partial(load, settings, model_path))

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        """Raises ModelLoadError; EngineUnavailable where `close` came first."""
        await self._life.start(report)

    @property
    def card(self) -> ModelCard:
        return self._life.loaded.card

    @property
    def tokenizer(self) -> Tokenizer:
        return self._life.loaded.tokenizer

    @property
    def stats(self) -> EngineStats:
        return self._life.loaded.engine.stats if self._life.is_loaded else IDLE

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        engine = self._life.working.engine
        refuse_too_long(request, self.card)
        async with aclosing(engine.generate(request)) as steps:
            async for step in steps:
                yield step

    async def wait_failed(self) -> str:
        return await self._life.wait_failed()

    async def abandon(self, reason: str) -> bool:
        return await self._life.abandon(reason)

    async def close(self) -> None:
        await self._life.close()
