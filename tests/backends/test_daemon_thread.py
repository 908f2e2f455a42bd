"""Blocking calls off the loop, which never hold up its end."""

import asyncio
import subprocess
import sys
import threading

import pytest

from backends.daemon_thread import in_daemon_thread

BLOCKED = """
import asyncio, threading
from backends.daemon_thread import in_daemon_thread

async def main():
    has_begun = threading.Event()
    def block():
        has_begun.set()
        threading.Event().wait()
    waiting = asyncio.create_task(in_daemon_thread(block))
    await asyncio.to_thread(has_begun.wait)
    waiting.cancel()

asyncio.run(main())
"""


async def test_the_result_comes_back_and_the_loop_goes_on() -> None:
    may_end = threading.Event()

    def call() -> str:
        may_end.wait()
        return threading.current_thread().name

    waiting = asyncio.create_task(in_daemon_thread(call))
    await asyncio.sleep(0)
    may_end.set()
    assert await waiting == "blocking-call"


async def test_an_error_comes_back() -> None:
    def call() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        await in_daemon_thread(call)


def test_a_call_that_never_ends_does_not_hold_up_the_exit() -> None:
    subprocess.run([sys.executable, "-c", BLOCKED], check=True, timeout=4)
