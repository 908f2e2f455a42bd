"""Owns one running server: its start, its readiness, what it takes of the machine, and its end."""

import contextlib
import http.client
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
import psutil

from benchmarks.servers.base import Launch, ServerUnavailable

HOST = "127.0.0.1"
_START_TIMEOUT_S = 300
_STOP_TIMEOUT_S = 30
_POLL_S = 0.1
_TAIL = 400


class _State(msgspec.Struct):
    """What our own server tells of its readiness."""

    state: str = ""
    reason: str | None = None


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@dataclass(slots=True)
class RunningServer:
    """A started server. Use as a context; leaving it ends every process of its tree."""

    port: int
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def __enter__(self) -> "RunningServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def cpu_s(self) -> float:
        """User and system time of the whole tree so far, children that have ended included."""
        return sum(_cpu_s(process) for process in self._tree())

    def memory_bytes(self) -> int:
        """Resident memory of the whole tree now; pages that processes share count for each."""
        return sum(_memory_bytes(process) for process in self._tree())

    def stop(self) -> None:
        """Asks first, and then makes sure."""
        tree = self._tree()
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in tree:
            if process.is_running() and process.pid != self.process.pid:
                process.kill()
        psutil.wait_procs(tree, timeout=_STOP_TIMEOUT_S)
        self.log.close()

    def _tree(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def started(launch: Launch, port: int, log_path: Path) -> RunningServer:
    """Ready to answer. Raises ServerUnavailable, with what the log says last, where it isn't."""
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log = log_path.open("wb")
    process = subprocess.Popen(
        launch.command,
        env=dict(launch.environ),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    server = RunningServer(port, process, log)
    try:
        _wait_until_ready(server, launch.ready_path, log_path)
    except BaseException:
        server.stop()
        raise
    return server


def _wait_until_ready(server: RunningServer, path: str, log_path: Path) -> None:
    end_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < end_s:
        if server.process.poll() is not None:
            code = server.process.returncode
            raise ServerUnavailable(f"ended with code {code} at its start: {_tail(log_path)}")
        if _is_ready(server.port, path):
            return
        time.sleep(_POLL_S)
    raise ServerUnavailable(f"not ready after {_START_TIMEOUT_S} s (log: {log_path})")


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        _raise_if_failed(response.read())
        return response.status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _raise_if_failed(body: bytes) -> None:
    """Our own server stays up when its engine could not load, and says so."""
    with contextlib.suppress(msgspec.DecodeError):
        state = msgspec.json.decode(body, type=_State)
        if state.state == "failed":
            raise ServerUnavailable(state.reason or "the engine could not be loaded")


def _tail(log_path: Path) -> str:
    lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["no output"])[-1][-_TAIL:]


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _memory_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
