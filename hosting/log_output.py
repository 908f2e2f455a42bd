"""Owns where log lines go: to stderr, from a thread of their own. Knows not what they say.

A slow reader of stderr holds up nobody: lines that find no room are counted, and told of later.
"""

import logging
import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler
from queue import SimpleQueue

from core.setting_types import LogFormat
from hosting.log_lines import formatter_of

_MAX_LINES = 4096
_LAST_LINES_S = 2.0
_STDERR = 2


class QueuedLines(QueueHandler):
    """Makes lines where something is logged, which knows the request, and leaves them to a thread.

    Whatever the thread writes to is a file descriptor: a lock of Python's own, held by a thread
    that can't write, would be fatal at the end of the process.
    """

    def __init__(self, formatter: logging.Formatter, fd: int = _STDERR) -> None:
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        super().__init__(self._lines)
        self.setFormatter(formatter)
        self._num_dropped = 0
        self._writer = threading.Thread(
            target=_write_lines, args=(self._lines, fd), name="log-lines", daemon=True
        )
        self._writer.start()

    def prepare(self, record: logging.LogRecord) -> str:
        return self.format(record)

    def enqueue(self, record: str) -> None:  # type: ignore[override]  # what `prepare` made
        """Under the handler's lock."""
        if self._lines.qsize() >= _MAX_LINES:
            self._num_dropped += 1
            return
        self._tell_dropped()
        self._lines.put(record)

    def end(self) -> None:
        """Returns when all is written, or when that takes too long. Idempotent."""
        with self.lock or threading.RLock():
            self._tell_dropped()
        self._lines.put(None)
        self._writer.join(_LAST_LINES_S)

    def _tell_dropped(self) -> None:
        if self._num_dropped:
            told = logging.makeLogRecord(
                {
                    "name": __name__,
                    "levelno": logging.WARNING,
                    "levelname": "WARNING",
                    "msg": "log lines were lost: nobody reads them as fast as they come",
                    "facts": {"num_lost": self._num_dropped},
                }
            )
            self._num_dropped = 0
            self._lines.put(self.format(told))


@contextmanager
def writing_logs(form: LogFormat) -> Iterator[QueuedLines]:
    """All loggers' lines, Python's own warnings, and what ends a thread, in one form."""
    lines = QueuedLines(formatter_of(form))
    root = logging.getLogger()
    root.addHandler(lines)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_end
    _prepare_engines(form)
    try:
        yield lines
    finally:
        root.removeHandler(lines)
        lines.end()


def inherited() -> logging.Handler:
    """What vLLM's lines go to: see `engine_logging.json`. Its engine's process has no other lines,
    and may wait until they are read.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, QueuedLines):
            return handler
    logging.getLogger("vllm").setLevel(os.environ.get("VLLM_LOGGING_LEVEL") or "WARNING")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter_of(LogFormat(os.environ["JARVIS_LOG_FORMAT"])))
    return handler


def _prepare_engines(form: LogFormat) -> None:
    """vLLM sets its own logging, here and in its processes, by what the environment says."""
    os.environ["JARVIS_LOG_FORMAT"] = form.value
    path = os.path.join(os.path.dirname(__file__), "engine_logging.json")
    os.environ.setdefault("VLLM_LOGGING_CONFIG_PATH", path)


def _log_thread_end(thread: threading.ExceptHookArgs) -> None:
    if thread.exc_value is None or isinstance(thread.exc_value, SystemExit):
        return
    name = "?" if thread.thread is None else thread.thread.name
    logging.getLogger(__name__).error("thread=%s ended", name, exc_info=thread.exc_value)


def _write_lines(lines: "SimpleQueue[str | None]", fd: int) -> None:
    while (line := lines.get()) is not None:
        try:
            _write(fd, f"{line}\n".encode(errors="backslashreplace"))
        except OSError:
            # There is nobody left to tell.
            continue


def _write(fd: int, line: bytes) -> None:
    while line:
        try:
            line = line[os.write(fd, line) :]
        except BlockingIOError:
            # Another process that shares stderr made it so.
            select.select((), (fd,), ())
