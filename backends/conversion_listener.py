"""Owns who follows a conversion of model files, and that one process at a time makes one."""

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from core.errors import EngineUnavailable
from core.lifecycle import LoadProgress

_LOCK_RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Listener:
    """Who follows a conversion. Setting `cancelled` makes it raise EngineUnavailable soon."""

    report: Callable[[LoadProgress], None]
    cancelled: threading.Event

    def tell(self, step: str, fraction: float | None = None) -> None:
        self.check()
        self.report(LoadProgress(step, fraction))

    def check(self) -> None:
        if self.cancelled.is_set():
            raise EngineUnavailable("the engine was closed while it loaded")


@contextmanager
def only_one(lock: Path, listener: Listener) -> Iterator[None]:
    """Waits for another process that converts the same model.

    A blocking flock could not be cancelled, and the kernel tells of a release in no other way.
    """
    with lock.open("w") as file:
        while not _take(file):
            listener.tell("waiting for another process that converts the same model")
            listener.cancelled.wait(_LOCK_RETRY_S)
        yield


def _take(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
