"""Owns an event loop in a thread of its own, for callers that have none or can't wait on theirs."""

import asyncio
import atexit

# Before ours is registered: what is registered last runs first, and its threads are needed.
import concurrent.futures.thread  # noqa: F401
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import nullcontext, suppress
from typing import Any, Generic, TypeVar

from core.errors import EngineUnavailable

T = TypeVar("T")


class LoopThread:
    """Runs from its making until `close` or `abandon`. Other methods are for any other thread."""

    def __init__(self, name: str, at_end: Callable[[], Awaitable[None]]) -> None:
        """`at_end` is awaited on the loop, last of all."""
        self._at_end = at_end
        self._process_id = os.getpid()
        self._lock = threading.Lock()
        self._is_closing = False
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        has_begun = threading.Event()
        # A daemon: what is called at exit ends it, and nothing that hangs holds up the exit.
        self._thread = threading.Thread(
            target=self._main, args=(has_begun,), name=name, daemon=True
        )
        self._thread.start()
        has_begun.wait()

    @property
    def refusal(self) -> str | None:
        """Why no call can be made; None where one can."""
        if self._is_forked:
            return "the engine stayed in the process that forked: open another one here"
        return "the engine is closed" if self._is_closing else None

    def submit(self, call: Coroutine[Any, Any, T]) -> "Future[T]":
        """Cancelling the future cancels the call. Raises EngineUnavailable."""
        # A child may inherit the lock as another thread held it.
        with nullcontext() if self._is_forked else self._lock:
            refusal = self.refusal
            if refusal is None:
                return asyncio.run_coroutine_threadsafe(call, self._loop)
        call.close()
        raise EngineUnavailable(refusal)

    def run(self, make_call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Waits for the call. An interrupted wait (KeyboardInterrupt) cancels it. Raises what it
        raises, or EngineUnavailable.
        """
        held = HeldCall(make_call)
        # Known before it begins: an interrupt may come as soon as it has.
        try:
            return self.submit(held.run()).result()
        except CancelledError:
            raise EngineUnavailable("the engine was closed") from None
        except BaseException:
            self.cancel(held)
            raise

    def cancel(self, held: "HeldCall[Any]") -> None:
        """Ends a call, from any thread, whether it has begun or not."""
        held.is_wanted = False
        if self._is_forked:
            return
        # A loop that has closed has ended it.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(held.cancel)

    def abandon(self) -> None:
        """Ends the thread without waiting for it, from any thread, also from the loop's own."""
        if self._is_forked:
            return
        # A loop that has closed is what was wanted.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)

    def close(self) -> None:
        """Cancels what runs, and waits for the end. Idempotent."""
        self.abandon()
        if not self._is_forked:
            self._thread.join()

    @property
    def _is_forked(self) -> bool:
        return os.getpid() != self._process_id

    def _main(self, has_begun: threading.Event) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._live(has_begun))

    async def _live(self, has_begun: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        has_begun.set()
        await self._stop.wait()
        with self._lock:
            self._is_closing = True
        # Calls that came before are tasks after this, to be cancelled with all others.
        await asyncio.sleep(0)
        await self._at_end()


class HeldCall(Generic[T]):
    """A call that can be cancelled before and while it runs. `cancel` belongs to the loop."""

    def __init__(self, make_call: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self.is_wanted = True
        self._make_call = make_call
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> T:
        self._task = asyncio.current_task()
        if not self.is_wanted:
            raise asyncio.CancelledError
        return await self._make_call()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def call_at_exit(call: Callable[[], None]) -> None:
    """Calls it when the interpreter ends, while threads still work: `atexit` comes after the
    executors have ended, without which no engine closes.
    """
    register = getattr(threading, "_register_atexit", atexit.register)
    register(call)
