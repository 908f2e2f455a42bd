"""Owns the server's way to its end: signals, what is under way, and the exit code. Knows no route.

The first SIGTERM or SIGINT drains, the second waits for nothing. The listening socket answers until
nothing is under way.
"""

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from hosting.draining import Traffic, cut_off, drain
from hosting.exit_codes import ExitCode
from hosting.forced_exit import end_now

logger = logging.getLogger(__name__)

# How long the last frames may take to reach slow clients, and engines to close.
_LAST_FRAMES_S = 5
_CLOSE_TIMEOUT_S = 60.0
_SIGNALLED = 128


@dataclass(frozen=True, slots=True)
class Ending:
    """What a server's end depends on. `reload` is for SIGHUP; each of `given_up` returns the
    reason when its engine can't be brought back; `last_words` writes what was logged.
    """

    traffic: Traffic
    drain_timeout_s: float
    reload: Callable[[], None]
    given_up: tuple[Callable[[], Awaitable[str]], ...]
    last_words: Callable[[], None]


class Server(uvicorn.Server):
    """Serves until it is told to stop, or an engine is lost. `exit_code` says which."""

    def __init__(self, config: uvicorn.Config, ending: Ending) -> None:
        config.timeout_graceful_shutdown = _LAST_FRAMES_S
        super().__init__(config)
        self.exit_code = ExitCode.STOPPED
        self._ending = ending
        self._tasks: list[asyncio.Task[None]] = []
        self._is_told = False
        self._had_terminal = _has_terminal()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They stay captured until the loop closes: the second may come while engines close."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        self._tasks += [loop.create_task(self._watch(each)) for each in self._ending.given_up]
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        code = self.exit_code or ExitCode.FAILED
        late = threading.Timer(_CLOSE_TIMEOUT_S, self._end_late, (code,))
        late.daemon = True
        late.start()
        await super().shutdown(sockets)

    def _on_stop(self, number: signal.Signals) -> None:
        if self._is_told:
            logger.warning("stopping at once: %s came again", number.name)
            end_now(_SIGNALLED + number, self._ending.last_words)
        self._is_told = True
        if not self.should_exit:
            self._tasks.append(asyncio.get_running_loop().create_task(self._drain()))

    def _on_hangup(self) -> None:
        """Also what a server is sent whose terminal was closed."""
        if self._had_terminal and not _has_terminal():
            self._on_stop(signal.SIGHUP)
        else:
            self._ending.reload()

    async def _drain(self) -> None:
        try:
            await drain(self._ending.traffic, self._ending.drain_timeout_s)
        finally:
            self.should_exit = True

    async def _watch(self, given_up: Callable[[], Awaitable[str]]) -> None:
        reason = await given_up()
        if self._is_told:
            return
        self.exit_code = ExitCode.ENGINE_LOST
        logger.error("stopping: an engine can't be brought back: %s", reason)
        cut_off(self._ending.traffic, reason)
        self.should_exit = True

    def _end_late(self, code: ExitCode) -> None:
        logger.error("closing took longer than %g s", _CLOSE_TIMEOUT_S)
        end_now(code, self._ending.last_words)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
