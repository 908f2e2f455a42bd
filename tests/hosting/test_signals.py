"""A server's end by real signals, on an application that streams for as long as it is wanted."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.server import ROOT, Program

# Each starts a process.
pytestmark = pytest.mark.timeout(60)

Start = Callable[..., Program]
STOPPED, ENGINE_LOST = 0, 3


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    programs: list[Program] = []

    def open_program(drain_timeout_s: float = 30, *child: str) -> Program:
        arguments = ("-m", "tests.hosting.stoppable", str(drain_timeout_s), *child)
        programs.append(Program(*arguments, cwd=tmp_path, PYTHONPATH=str(ROOT)))
        return programs[-1]

    yield open_program
    for each in programs:
        each.kill()


@contextmanager
def client_of(program: Program) -> Iterator[httpx.Client]:
    url = program.wait_for("startup on ").split("startup on ")[1]
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


@contextmanager
def streaming(client: httpx.Client) -> Iterator[Iterator[str]]:
    """What comes after the first line."""
    with client.stream("GET", "/stream") as response:
        lines = response.iter_lines()
        assert next(lines) == "begun"
        yield lines


def test_with_nothing_under_way_it_ends(start: Start) -> None:
    program = start()
    with client_of(program) as client:
        assert client.get("/").status_code == 200
        assert program.stop(signal.SIGINT) == STOPPED, "a kept connection holds nothing up"
    program.wait_for("shutdown on")


def test_what_runs_goes_on_and_what_is_new_is_refused(start: Start) -> None:
    program = start()
    with client_of(program) as client, streaming(client) as lines:
        program.send(signal.SIGTERM)
        program.wait_for("stopping active=1")
        refused = client.get("/")
        assert refused.status_code == 503
        assert refused.text == "the server stops: it takes no new requests\n"
        client.get("/release")
        assert list(lines) == ["whole"]
    assert program.wait() == STOPPED


def test_what_takes_too_long_is_ended_with_one_error(start: Start) -> None:
    program = start(0.1)
    with client_of(program) as client, streaming(client) as lines:
        program.send(signal.SIGTERM)
        assert list(lines) == ["error: the server stopped before the answer was whole"]
    assert program.wait() == STOPPED


def test_a_second_signal_waits_for_nothing_and_leaves_no_process(start: Start) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    program = start(30, sys.executable, "-c", deaf)
    with client_of(program) as client, streaming(client) as lines:
        (child,) = program.children()
        program.send(signal.SIGTERM)
        program.wait_for("stopping active=1")
        assert program.stop(signal.SIGINT) == 128 + signal.SIGINT
        program.wait_for("stopping at once: SIGINT came again")
        with pytest.raises(httpx.RemoteProtocolError):
            next(lines)
    assert not psutil.wait_procs([child], timeout=10)[1]


def test_a_lost_engine_ends_the_process_with_a_code_of_its_own(start: Start) -> None:
    program = start()
    with client_of(program) as client, streaming(client) as lines:
        client.get("/lose")
        assert list(lines) == ["error: it burned down"]
    assert program.wait() == ENGINE_LOST
    program.wait_for("stopping: an engine can't be brought back: it burned down")


def test_a_signal_beside_a_lost_engine_forces_nothing(start: Start) -> None:
    program = start()
    with client_of(program) as client:
        client.get("/lose")
        program.wait_for("it burned down")
        assert program.stop() == ENGINE_LOST


def test_hangup_reads_again_and_what_is_wrong_changes_nothing(start: Start, tmp_path: Path) -> None:
    program = start()
    with client_of(program) as client:
        program.send(signal.SIGHUP)
        program.wait_for("adopted")
        (tmp_path / "bad").touch()
        program.send(signal.SIGHUP)
        program.wait_for("keys and limits stay as they are: JARVIS_PORT='x' (.env)")
        assert client.get("/").status_code == 200
    assert program.stop() == STOPPED


def test_a_closed_terminal_ends_it(tmp_path: Path) -> None:
    """Its reader's end is the terminal's other side."""
    terminal, own = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, str(own)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        pass_fds=(own,),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    os.close(own)
    assert program.stdout is not None
    with program, program.stdout as output:
        assert output.readline().startswith(b"startup on")
        os.close(terminal)
        assert output.readline().startswith(b"shutdown on")
    assert program.wait() == STOPPED


IN_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
os.close(int(sys.argv[1]))
os.execv(sys.executable, [sys.executable, "-m", "tests.hosting.stoppable", "30"])
"""
