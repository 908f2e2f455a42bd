"""Owns one answer on its way, for a caller in any thread. Knows no engine."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Generic, Self, TypeVar

from core.errors import EngineUnavailable
from jarvis.async_stream import AsyncStream
from jarvis.loop_thread import HeldCall, LoopThread

PartT = TypeVar("PartT")
ResultT = TypeVar("ResultT")


class Stream(Generic[PartT, ResultT]):
    """Parts as they come, by `for`. Nothing runs before the first is asked for. One reader.

    Leaving it midway aborts the answer: by `with` or `close`, or when nobody holds it any more. A
    reader that is slow holds up nobody: the answer goes on without it.
    """

    def __init__(
        self, started: Callable[[], LoopThread], stream: AsyncStream[PartT, ResultT]
    ) -> None:
        """`started` gives the engine's thread, or raises EngineUnavailable; it holds the engine."""
        self._started = started
        self._thread: LoopThread | None = None
        self._held: HeldCall[None] | None = None
        self._stream = stream
        self._parts: SimpleQueue[PartT | None] = SimpleQueue()
        self._reading: Future[None] | None = None
        self._is_over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> PartT:
        if self._is_over:
            raise StopIteration
        try:
            if self._reading is None:
                self._begin()
            part = self._parts.get()
        except BaseException:
            self.close()
            raise
        if part is not None:
            return part
        self._end()
        raise StopIteration

    def result(self) -> ResultT:
        """The whole answer, what was read of it before included; waits for what is missing."""
        for _ in self:
            pass
        return self._stream.folded()

    def close(self) -> None:
        """Aborts the answer where it has not ended. Idempotent."""
        self._is_over = True
        if self._thread is not None and self._held is not None:
            self._thread.cancel(self._held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _begin(self) -> None:
        parts = self._parts
        self._thread = self._started()
        # Known before it begins: an interrupt may come as soon as it has.
        self._held = HeldCall(partial(_read, self._stream, parts))
        self._reading = self._thread.submit(self._held.run())
        # However it ends, cancelled before its begin too.
        self._reading.add_done_callback(lambda _: parts.put(None))

    def _end(self) -> None:
        """Raises what the reading ended with, unless it was closed here, from another thread."""
        was_closed, self._is_over = self._is_over, True
        assert self._reading is not None, "what has not begun has no end"
        if was_closed:
            return
        if self._reading.cancelled():
            raise EngineUnavailable("the engine was closed")
        self._reading.result()


async def _read(stream: AsyncStream[PartT, ResultT], parts: "SimpleQueue[PartT | None]") -> None:
    """Holds no Stream, so that one that nobody holds is found."""
    async with stream:
        async for part in stream:
            parts.put(part)
