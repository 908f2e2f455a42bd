"""Calls into a loop of another thread, which may be ended at any moment."""

import threading
from concurrent.futures import CancelledError

import pytest

from jarvis.loop_thread import HeldCall, LoopThread


async def nothing() -> None:
    pass


def test_a_call_that_is_ended_before_it_begins_is_never_made() -> None:
    thread = LoopThread("test", nothing)
    is_held, go_on, was_made = threading.Event(), threading.Event(), threading.Event()

    async def hold_the_loop() -> None:
        is_held.set()
        go_on.wait()

    async def call() -> None:
        was_made.set()

    thread.submit(hold_the_loop())
    is_held.wait()
    held = HeldCall(call)
    result = thread.submit(held.run())
    thread.cancel(held)
    go_on.set()
    with pytest.raises(CancelledError):
        result.result()
    thread.close()
    assert not was_made.is_set()
