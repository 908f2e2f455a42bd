"""Owns measuring one server once: the client's process beside it, and what the machine gave."""

import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

import msgspec
import psutil

from benchmarks import places
from benchmarks.client.plan import Ask, ClientPlan, LoadPlan, LoadResult
from benchmarks.loads import Load
from benchmarks.servers.process import HOST, RunningServer

_SAMPLED_EVERY_S = 0.25
_STREAMED: Mapping[str, Any] = {
    "temperature": 0,
    "stream": True,
    "stream_options": {"include_usage": True},
}


class MeasurementFailed(Exception):
    """The client could not finish."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came back, and what the server's processes took for it."""

    result: LoadResult
    cpu_s: float
    peak_memory_bytes: int
    # Of the whole machine's time, what neither the server nor the client had and yet was used.
    others_cpu_share: float


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom the clients ask, who works for it unseen, and what every request says besides."""

    server: RunningServer
    body: Mapping[str, Any]
    behind: RunningServer | None = None


def take(asked: Asked, load: Load, seed: str) -> Taken:
    """Runs the load in a process of its own. Raises MeasurementFailed."""
    clients = [_complete(plan, asked.body) for plan in load.plans(seed)]
    plan = LoadPlan(HOST, asked.server.port, load.path, clients)
    memory = _PeakMemory(asked.server)
    clock = _MachineClock(asked)
    with memory:
        written = _client(plan)
    cpu_s, others_cpu_share = clock.read()
    result = msgspec.json.decode(written, type=LoadResult)
    return Taken(result, cpu_s, memory.peak_bytes, others_cpu_share)


def _client(plan: LoadPlan) -> bytes:
    """What the client's process writes. To a file: of half a megabyte in a pipe, behind uvloop,
    the end was missing now and then.
    """
    with TemporaryFile() as file:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.client"],
            input=msgspec.json.encode(plan),
            stdout=file,
            cwd=places.ROOT,
            check=False,
        )
        if done.returncode != 0:
            raise MeasurementFailed(f"the client ended with code {done.returncode}")
        file.seek(0)
        return file.read()


def _complete(plan: ClientPlan, body: Mapping[str, Any]) -> ClientPlan:
    asks = [Ask({**_STREAMED, **body, **ask.body}, ask.user) for ask in plan.asks]
    return msgspec.structs.replace(plan, asks=asks)


class _MachineClock:
    """Splits the machine's time from its making on: the server's, and that of all others."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._since = self._now()

    def read(self) -> tuple[float, float]:
        """The server's seconds, and the others' share."""
        busy_s, server_s, known_s, all_s = (
            now - then for now, then in zip(self._now(), self._since, strict=True)
        )
        return server_s, max(0.0, busy_s - server_s - known_s) / max(all_s, 1e-9)

    def _now(self) -> tuple[float, float, float, float]:
        times = psutil.cpu_times()
        all_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        free_s = times.idle + getattr(times, "iowait", 0.0)
        # The client is the one child that is waited for in between.
        client = resource.getrusage(resource.RUSAGE_CHILDREN)
        known_s = client.ru_utime + client.ru_stime + time.process_time()
        if self._asked.behind is not None:
            known_s += self._asked.behind.cpu_s()
        return all_s - free_s, self._asked.server.cpu_s(), known_s, all_s


class _PeakMemory:
    """Looks at a server's memory now and then, from entering to leaving."""

    def __init__(self, server: RunningServer) -> None:
        self.peak_bytes = 0
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "_PeakMemory":
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLED_EVERY_S):
            self._look()

    def _look(self) -> None:
        self.peak_bytes = max(self.peak_bytes, self._server.memory_bytes())
