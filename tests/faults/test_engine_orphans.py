"""No process outlives a server that was killed, which can't see to that itself."""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.server import ServerProcess
from tests.engines import MODEL

pytestmark = [pytest.mark.engine, pytest.mark.long]
GONE_WITHIN_S = 2


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path, cache: Path) -> Iterator[ServerProcess]:
    empty = tmp_path / "empty.env"
    empty.touch()
    # A template runs in a process of its own.
    flags = ("--engine", request.param, "--model", str(MODEL), "--chat-format", "model")
    started = ServerProcess(*flags, "--env-file", str(empty), JARVIS_CACHE_DIR=str(cache))
    yield started
    started.kill()


def kill_and_look(server: ServerProcess, within_s: float = GONE_WITHIN_S) -> None:
    children = server.children()
    assert children
    try:
        server.send(signal.SIGKILL)
        server.wait()
        _, alive = psutil.wait_procs(children, timeout=within_s)
        assert [each.name() for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        for child in children:
            if child.is_running():
                child.kill()


@pytest.mark.parametrize("server", ["llama_cpp", "vllm"], indirect=True)
def test_a_killed_server_that_was_ready_leaves_no_process(server: ServerProcess) -> None:
    server.wait_for("state=ready")
    kill_and_look(server)


@pytest.mark.parametrize("server", ["llama_cpp"], indirect=True)
def test_a_server_killed_while_it_tries_a_model_leaves_no_process(server: ServerProcess) -> None:
    server.wait_for("serving on")
    while not server.children():
        assert psutil.pid_exists(server.pid)
    kill_and_look(server)


@pytest.mark.parametrize("server", ["vllm"], indirect=True)
def test_a_server_killed_while_its_engines_process_starts_leaves_none(
    server: ServerProcess,
) -> None:
    """It watches the server as soon as it has imported the little that this takes."""
    server.wait_for("serving on")
    while not any("spawn_main" in each for each in commands(server)):
        assert psutil.pid_exists(server.pid)
    kill_and_look(server, within_s=60)


def commands(server: ServerProcess) -> list[str]:
    """Of its children."""
    with suppress(psutil.NoSuchProcess):
        return [" ".join(each.cmdline()) for each in server.children()]
    return []
