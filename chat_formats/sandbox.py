"""Owns the life of a template's process: start, one rendering at a time, limits, restart.

Knows no messages and no format. A template comes with a model file from anywhere, and Jinja can't
bound what it does (nested lists that double, paddings, a comparison of both), so it runs in a
process of its own, which the kernel ends when it uses too much time or memory. The process is
kept between renderings: one costs about a millisecond.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import jinja2
import markupsafe

from core.errors import ConfigurationError, InvalidConversation


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """What one rendering may use. `wall_limit_s` is for a machine too busy to give it its time."""

    cpu_limit_s: float = 1.0
    wall_limit_s: float = 10.0
    max_memory_bytes: int = 512 * 1024**2
    max_characters: int = 16 * 1024**2


class TemplateBroken(InvalidConversation):
    """The template used more than it may, or reached for what no template may."""


class _ProcessEnded(Exception):
    """The template's process ended, by a limit or by a crash, before it answered."""


class TemplateSandbox:
    """A compiled template behind a process border. Any thread may call it, one at a time.

    Raises ConfigurationError where the template doesn't compile or no process can be started.
    The process ends with this object.
    """

    def __init__(self, template: str, limits: SandboxLimits | None = None) -> None:
        self._template = template
        self._limits = limits or SandboxLimits()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stop_process: weakref.finalize[..., TemplateSandbox] | None = None
        self._variables = frozenset[str]()
        with self._lock:
            self._start()

    @property
    def variables(self) -> frozenset[str]:
        """The names that the template reads and does not set itself."""
        return self._variables

    def render(self, variables: Mapping[str, object], now: datetime) -> str:
        """Raises InvalidConversation where the template refuses, fails or exceeds a limit."""
        reply = self._render(variables, now)
        if "refused" in reply:
            raise InvalidConversation(_one_line(reply["refused"]), param="messages")
        if "broken" in reply:
            raise TemplateBroken(_failure(reply["broken"]), param="messages")
        if "failed" in reply:
            raise _template_failed(reply["failed"])
        return reply["text"]

    def _render(self, variables: Mapping[str, object], now: datetime) -> dict[str, str]:
        request = {"variables": variables, "now": now.isoformat()}
        try:
            with self._lock:
                return self._exchange(self._running(), request)
        except _ProcessEnded as ended:
            raise TemplateBroken(_failure(str(ended)), param="messages") from None
        except RecursionError:
            raise _template_failed("the request nests too deep") from None
        except ValueError as error:
            raise _template_failed(str(error)) from None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._discard()
            self._start()
        assert self._process is not None
        return self._process

    def _start(self) -> None:
        try:
            process = _start_worker()
        except OSError as error:
            raise ConfigurationError(f"can't start the chat template's process: {error}") from None
        self._process = process
        self._stop_process = weakref.finalize(self, _stop_worker, process)
        try:
            reply = self._exchange(process, {"template": self._template, **asdict(self._limits)})
        except _ProcessEnded as ended:
            raise ConfigurationError(f"the chat template can't be compiled: {ended}") from None
        fault = reply.get("failed", reply.get("broken"))
        if fault is not None:
            self._discard()
            reason = _one_line(fault)
            raise ConfigurationError(f"the chat template can't be compiled: {reason}")
        self._variables = frozenset(reply["variables"].split())

    def _discard(self) -> None:
        if self._stop_process is not None:
            self._stop_process()
        self._process = self._stop_process = None

    def _exchange(
        self, process: subprocess.Popen[bytes], request: Mapping[str, object]
    ) -> dict[str, str]:
        assert process.stdin is not None
        assert process.stdout is not None
        line = json.dumps(request).encode() + b"\n"
        timer = threading.Timer(self._limits.wall_limit_s, process.kill)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(line)
            process.stdin.flush()
            reply = process.stdout.readline()
        except OSError:
            reply = b""
        finally:
            timer.cancel()
        if not reply.endswith(b"\n"):
            reason = self._end_reason(process)
            self._discard()
            raise _ProcessEnded(reason)
        answer: dict[str, str] = json.loads(reply.decode("utf-8", "surrogatepass"))
        return answer

    def _end_reason(self, process: subprocess.Popen[bytes]) -> str:
        process.wait()
        if process.returncode == -getattr(signal, "SIGPROF", 0):
            return f"it did not finish within {self._limits.cpu_limit_s:g} s"
        if process.returncode == -getattr(signal, "SIGKILL", 0):
            return f"it was ended after {self._limits.wall_limit_s:g} s or for want of memory"
        return f"its process ended with code {process.returncode}"


def _start_worker() -> subprocess.Popen[bytes]:
    """Starts the worker with nothing of this process's: no secrets, no modules but Jinja's."""
    kept = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    files = [module.__file__ or "" for module in (jinja2, markupsafe)]
    folders = {str(Path(file).parent.parent) for file in files}
    environment["PYTHONPATH"] = os.pathsep.join(sorted(folders))
    script = Path(__file__).with_name("sandbox_worker.py")
    return subprocess.Popen(
        [sys.executable, "-P", "-X", "utf8", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def _stop_worker(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # Closing flushes what the process never read.
            with suppress(OSError):
                pipe.close()


def _template_failed(reason: str) -> InvalidConversation:
    return InvalidConversation(_failure(reason), param="messages")


def _failure(reason: str) -> str:
    return f"the chat template can't render this conversation: {_one_line(reason)}"


def _one_line(text: str, max_characters: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= max_characters else line[:max_characters] + "…"
