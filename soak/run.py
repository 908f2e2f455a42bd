"""Owns one soak from the server's start to its end: warm-up, the long phase, and looks while
nothing happens.
"""

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.places import ROOT
from benchmarks.servers.process import RunningServer
from soak.crowd_plan import CrowdPlan, CrowdResult, KeyFile
from soak.key_file import write_keys
from soak.launching import WINDOW, Ending, ended, launched
from soak.server_counts import Counts, LogFacts, NoMetrics, counts, read_log
from soak.watch import Sample, Watch

# Caches of many shapes fill slowly: vLLM's CPU kernels keep some for each size of a batch.
_WARM_UP_S, _WARM_UP, _SHORT_WARM_UP = 300, 1 / 3, 0.1
_END_S = 300
_QUIET_S = 40
_LOOK_EVERY_S = 1.0
_MOST_SAMPLES, _LEAST_EVERY_S = 2000, 0.5
_SAMPLE_EVERY_S = 3.0


class SoakFailed(Exception):
    """The soak could not be run to its end."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is soaked, for how long, and where what comes of it is written."""

    engine: str
    minutes: float
    num_clients: int
    seed: str
    settings: Mapping[str, str]
    folder: Path

    @property
    def log(self) -> Path:
        return self.folder / "server.log"


@dataclass(frozen=True, slots=True)
class Idle:
    """The server after a phase, once it had nothing to do. None where it was not told."""

    sample: Sample
    counts: Counts | None


@dataclass(frozen=True, slots=True)
class Soaked:
    """All that was seen. `counts` are what was added from the server's start to its last idle
    moment; `num_looks` of its requests were this process' own.
    """

    warm_up: CrowdResult
    main: CrowdResult
    warm: Idle
    last: Idle
    counts: Counts | None
    num_looks: int
    samples: list[Sample]
    log: LogFacts
    ending: Ending


def soaked(wishes: Wishes) -> Soaked:
    """Raises SoakFailed, and ServerUnavailable where the server does not start."""
    # Apart from the log: the folder of the keys is watched by the server.
    key_folder = wishes.folder.resolve() / "keys"
    key_folder.mkdir(parents=True, exist_ok=True)
    keys = {name: f"sk-soak-{name}-{secrets.token_hex(16)}" for name in ("one", "two")}
    spare = f"sk-soak-spare-{secrets.token_hex(16)}"
    key_file = KeyFile(str(key_folder / "keys.toml"), keys, spare)
    write_keys(key_file, with_spare=False)
    settings = {"JARVIS_API_KEYS": key_file.path, **wishes.settings}
    with launched(wishes.engine, settings, wishes.log) as server:
        return _Soak(wishes, server, key_file).run()


def _warm_up_s(total_s: float) -> float:
    """Before a short run, of which memory is not judged, it is short too."""
    if total_s < _WARM_UP_S:
        return total_s * _SHORT_WARM_UP
    return max(_WARM_UP_S, total_s * _WARM_UP)


class _Soak:
    """One server and its two crowds, one after the other."""

    def __init__(self, wishes: Wishes, server: RunningServer, key_file: KeyFile) -> None:
        self._wishes = wishes
        self._server = server
        self._key_file = key_file
        self._num_looks = 0

    def run(self) -> Soaked:
        first = self._look()
        total_s = 60 * self._wishes.minutes
        every_s = max(_LEAST_EVERY_S, min(_SAMPLE_EVERY_S, total_s / _MOST_SAMPLES))
        with Watch(self._server.process.pid, every_s) as watch:
            warm_up = self._crowd("warm", _warm_up_s(total_s), {})
            warm = self._idle(watch, None)
            begin = len(watch.samples)
            main = self._crowd("main", total_s, warm_up.canaries)
            end = len(watch.samples)
            last = self._idle(watch, warm.sample)
        return Soaked(
            warm_up,
            main,
            warm,
            last,
            last.counts.since(first) if first and last.counts else None,
            # The last look is counted by the server when it has been answered.
            self._num_looks - 1,
            watch.samples[begin:end],
            # The log is whole after the server's end.
            ending=ended(self._server),
            log=read_log(self._wishes.log),
        )

    def _crowd(self, phase: str, seconds: float, canaries: dict[str, str]) -> CrowdResult:
        plan = CrowdPlan(
            self._server.port,
            self._server.process.pid,
            self._wishes.num_clients,
            seconds,
            f"{self._wishes.seed}-{phase}",
            WINDOW,
            self._key_file,
            canaries,
        )
        folder = self._wishes.folder.resolve()
        told, found = folder / f"{phase}.plan.json", folder / f"{phase}.result.json"
        told.write_bytes(msgspec.json.encode(plan))
        command = [sys.executable, "-m", "soak.crowd", str(told), str(found)]
        # In a session of its own: Ctrl-C is this process' to pass on, after the server is asked.
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        crowd = subprocess.Popen(command, cwd=ROOT, env=environ, start_new_session=True)
        try:
            code = self._wait(crowd, seconds + _END_S)
        finally:
            crowd.kill()
            crowd.wait()
        if code != 0:
            raise SoakFailed(f"the clients ended with code {code}")
        return msgspec.json.decode(found.read_bytes(), type=CrowdResult)

    def _wait(self, crowd: subprocess.Popen[bytes], limit_s: float) -> int:
        end_s = time.monotonic() + limit_s
        while time.monotonic() < end_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return crowd.wait(_LOOK_EVERY_S)
            if (code := self._server.process.poll()) is not None:
                raise SoakFailed(f"the server ended by itself, with code {code}")
        raise SoakFailed("the clients did not come to an end: an answer hangs")

    def _idle(self, watch: Watch, before: Sample | None) -> Idle:
        """Once nothing runs and, where it can be, no more is held than `before`."""
        end_s = time.monotonic() + _QUIET_S
        while True:
            time.sleep(_LOOK_EVERY_S)
            told, held = self._look(), watch.now()
            if held is None:
                raise SoakFailed(f"the server is gone, with code {self._server.process.poll()}")
            is_quiet = told is None or not told.num_unfinished
            is_small = before is None or held.num_descriptors <= before.num_descriptors
            if (is_quiet and is_small) or time.monotonic() > end_s:
                return Idle(held, told)

    def _look(self) -> Counts | None:
        with contextlib.suppress(NoMetrics):
            found = counts(self._server.port, next(iter(self._key_file.keys.values())))
            self._num_looks += 1
            return found
        return None
