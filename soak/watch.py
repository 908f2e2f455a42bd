"""Owns what the server's processes hold of the machine, looked at every few seconds."""

import threading
import time
from dataclasses import dataclass
from types import TracebackType

import psutil


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes of the server together, `at_s` after the watch began."""

    at_s: float
    memory_bytes: int
    num_threads: int
    num_descriptors: int
    num_processes: int


class Watch:
    """Samples from entering to leaving, on a thread of its own."""

    def __init__(self, pid: int, every_s: float) -> None:
        self.samples: list[Sample] = []
        self._pid = pid
        self._every_s = every_s
        self._started_s = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def now(self) -> Sample | None:
        """None where the server is gone."""
        return sample(self._pid, time.monotonic() - self._started_s)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            found = self.now()
            if found is not None:
                self.samples.append(found)


def sample(pid: int, at_s: float) -> Sample | None:
    """A process that ends while it is looked at is not counted."""
    looked_at = [found for process in tree(pid) if (found := _of_one(process, at_s)) is not None]
    if not looked_at:
        return None
    return Sample(
        at_s,
        sum(each.memory_bytes for each in looked_at),
        sum(each.num_threads for each in looked_at),
        sum(each.num_descriptors for each in looked_at),
        len(looked_at),
    )


def tree(pid: int) -> list[psutil.Process]:
    """The process and all below it."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _of_one(process: psutil.Process, at_s: float) -> Sample | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        memory = int(process.memory_info().rss)
        return Sample(at_s, memory, process.num_threads(), process.num_fds(), 1)
    except psutil.Error:
        return None
