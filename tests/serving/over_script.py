"""A service that is ready, over a script."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from backends.base import ModelCard, Tokenizer
from backends.delegate import Delegate
from backends.scripted import ScriptedBackend
from serving.service import GenerationService, ServingOptions


class CountingTokenizer:
    """Counts how often it encodes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.num_calls = 0

    def encode(self, text: str, *, with_control: bool) -> Sequence[int]:
        self.num_calls += 1
        return self._tokenizer.encode(text, with_control=with_control)


@asynccontextmanager
async def service_over(
    backend: ScriptedBackend,
    tokenizers: list[CountingTokenizer] | None = None,
    chat_format: str = "chatml",
) -> AsyncIterator[GenerationService]:
    """The tokenizer that the service was given is put into the list."""

    async def opened(_: object) -> ScriptedBackend:
        return backend

    async def adopt(card: ModelCard, tokenizer: Tokenizer) -> None:
        counting = CountingTokenizer(tokenizer)
        await service.adopt(card, counting)
        if tokenizers is not None:
            tokenizers.append(counting)

    delegate = Delegate("scripted", opened)
    service, is_ready = GenerationService(delegate, ServingOptions(chat_format)), asyncio.Event()
    delegate.start(adopt, on_change=is_ready.set)
    await is_ready.wait()
    yield service
    await delegate.close()
