"""The servers that tests start: gone however a test ends, and clear about a failed start."""

import re
import sys
from dataclasses import replace

import psutil
import pytest

from tests.upstream_servers import Launch, llama_cpp, running

pytestmark = pytest.mark.engine

# A child, that outlives its parent and does not end when asked.
STUBBORN = """
import subprocess, sys
program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True)"
child = subprocess.Popen([sys.executable, "-c", program + "; signal.pause()"])
child.wait()
"""


def test_nothing_is_left_where_a_test_fails_before_they_are_ready() -> None:
    started: list[psutil.Process] = []

    def fail() -> None:
        with running(llama_cpp(), llama_cpp()) as servers:
            started.extend(process for each in servers for process in each.processes())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(started) == 2
    assert not any(process.is_running() for process in started)


def test_children_that_do_not_end_when_asked_are_ended() -> None:
    launch = Launch(llama_cpp().kind, (sys.executable, "-c", STUBBORN), ())
    with running(launch) as (server,):
        server.wait_for(re.compile("on"))
        started = server.processes()
    assert len(started) == 2
    assert not any(process.is_running() for process in started)


def test_a_start_that_fails_says_what_was_printed() -> None:
    launch = llama_cpp()
    command = (*launch.command, "--model", "no-such-file.gguf")
    failing = replace(launch, command=command)
    with running(failing) as (server,), pytest.raises(AssertionError, match=r"no-such-file\.gguf"):
        _ = server.base_url
