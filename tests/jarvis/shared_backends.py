"""Backends that one loop owns, for engines of the library on that loop or on their own."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from backends.base import Backend, TokenRequest, TokenStep
from backends.delegate import OpenBackend
from core.lifecycle import LoadProgress
from tests.engines import StartedBackend

_OVER = None


class CountedBackend(StartedBackend):
    """Started before, by others. Knows when nothing is under way any more."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._backend = backend
        self._num_live = 0
        self.num_begun = 0
        self.is_idle = asyncio.Event()
        self.is_idle.set()
        self.generate = self._generate

    async def _generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        self._num_live += 1
        self.num_begun += 1
        self.is_idle.clear()
        try:
            async with aclosing(self._backend.generate(request)) as steps:
                async for step in steps:
                    yield step
        finally:
            self._num_live -= 1
            if not self._num_live:
                self.is_idle.set()


class BridgedBackend(StartedBackend):
    """A backend of the loop on which this is made, for engines on any other loop."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._backend = backend
        self._home = asyncio.get_running_loop()
        self.generate = self._generate
        self.wait_failed = self._wait_failed

    async def _wait_failed(self) -> str:
        """Never: the tests end first."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    async def _generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[TokenStep | None] = asyncio.Queue()

        async def pump() -> None:
            async with aclosing(self._backend.generate(request)) as found:
                async for step in found:
                    loop.call_soon_threadsafe(steps.put_nowait, step)

        def end(_: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(steps.put_nowait, _OVER)

        pumping = asyncio.run_coroutine_threadsafe(pump(), self._home)
        pumping.add_done_callback(end)
        try:
            while (step := await steps.get()) is not _OVER:
                yield step
            pumping.result()
        finally:
            pumping.cancel()


def opening(backend: Backend) -> OpenBackend:
    """What an engine of the library is given to open a backend."""

    async def open_backend(_: Callable[[LoadProgress], None]) -> Backend:
        return backend

    return open_backend
