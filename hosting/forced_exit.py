"""Owns an end that waits for nothing: no child process stays, no code of ours runs after it."""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import psutil

_MAX_ROUNDS = 10


def end_now(code: int, last_words: Callable[[], None]) -> NoReturn:
    """From any thread. `last_words` may take a moment."""
    kill_children()
    last_words()
    os._exit(code)


def kill_children() -> None:
    """Again until there are none: one may be starting another."""
    for _ in range(_MAX_ROUNDS):
        living = [each for each in psutil.Process().children(recursive=True) if _is_ours(each)]
        if not living:
            return
        for child in living:
            # One that can't be ended must not keep the others.
            with suppress(psutil.Error):
                child.kill()


def _is_ours(process: psutil.Process) -> bool:
    """Python's tracker of shared memory ends by itself, after it has freed what others left."""
    try:
        is_over = process.status() == psutil.STATUS_ZOMBIE
        return not is_over and "resource_tracker" not in " ".join(process.cmdline())
    except psutil.Error:
        return False
