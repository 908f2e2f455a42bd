"""The server as users start it: a process of its own, watched through what it prints."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """A program of Python's. Its output is read as it comes, so that it never blocks on a pipe."""

    def __init__(self, *arguments: str, cwd: Path = ROOT, **environment: str) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("JARVIS_")}
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**kept, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Signals for it alone: those of a terminal go to a whole group.
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.output: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, text: str, timeout_s: float = 240) -> str:
        """The first line from here on that holds `text`. Fails if the process ends before."""
        while True:
            line = self._lines.get(timeout=timeout_s)
            assert line is not None, f"no {text!r} in:\n" + "".join(self.output)
            if text in line:
                return line.strip()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self._process.pid).children(recursive=True)

    def send(self, how: signal.Signals) -> None:
        self._process.send_signal(how)

    def send_to_group(self, how: signal.Signals) -> None:
        """As a terminal does on Ctrl-C: to its children too."""
        os.killpg(self._process.pid, how)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self.send(how)
        return self._process.wait(timeout=60)

    def wait(self, timeout_s: float = 60) -> int:
        return self._process.wait(timeout=timeout_s)

    def kill(self) -> None:
        """For clean-up after a failed test; harmless when it has ended."""
        if self._process.poll() is None:
            for child in self.children():
                child.kill()
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.output.append(line)
                self._lines.put(line)
        self._lines.put(None)


class ServerProcess(Program):
    """`main.py` with flags."""

    def __init__(self, *flags: str, cwd: Path = ROOT, **environment: str) -> None:
        super().__init__(str(ROOT / "main.py"), "--port", "0", *flags, cwd=cwd, **environment)

    def client(self) -> httpx.Client:
        url = self.wait_for("serving on ").split("serving on ")[1]
        return httpx.Client(base_url=url, timeout=120)


Start = Callable[..., ServerProcess]
