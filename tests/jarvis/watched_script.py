"""A scripted backend that threads can wait for."""

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator, Callable, Iterator

from backends.base import TokenRequest, TokenStep
from backends.scripted import ScriptedBackend
from jarvis import EngineConfig

# The engine below is a script: nothing of the model is read.
CONFIG = EngineConfig(model="script.gguf", chat_format="chatml")


def endless(_: TokenRequest) -> Iterator[int]:
    return itertools.cycle(b"abcdefghijklmnopqrstuvwxyz")


class WatchedScript(ScriptedBackend):
    """`has_begun` is set at a request's first step, `was_aborted` when one is over without its end.

    With `num_free`, all steps behind so many wait for ever: nothing ends by itself.
    """

    def __init__(
        self, num_free: int | None = None, at_step: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(endless, gate=self._free)
        self.has_begun, self.was_aborted = threading.Event(), threading.Event()
        self._num_free = num_free
        self._at_step = at_step

    def _free(self) -> asyncio.Future[None]:
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._num_free != 0:
            passed.set_result(None)
        if self._num_free:
            self._num_free -= 1
        return passed

    async def generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        is_over = False
        try:
            async for step in super().generate(request):
                self.has_begun.set()
                self._at_step()
                is_over = step.finish is not None
                yield step
        finally:
            if not is_over:
                self.was_aborted.set()
