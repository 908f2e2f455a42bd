"""Runs a blocking call in a thread that does not hold up the process's end.

The event loop's own executor is waited for at exit: a download of gigabytes would outlive Ctrl-C.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_daemon_thread(call: Callable[[], T]) -> T:
    """The call's result or its exception. Cancelling leaves the thread to itself."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = call()
        except Exception as error:
            failure = error
            _tell(loop, done, lambda: done.set_exception(failure))
        else:
            _tell(loop, done, lambda: done.set_result(result))

    threading.Thread(target=run, name="blocking-call", daemon=True).start()
    return await done


def _tell(
    loop: asyncio.AbstractEventLoop, done: asyncio.Future[T], settle: Callable[[], None]
) -> None:
    """On the loop, where somebody still waits; a closed loop has nobody left."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: None if done.done() else settle())
