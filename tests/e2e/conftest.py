"""Servers as processes, for one test each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.server import ServerProcess, Start


@pytest.fixture
def start(tmp_path: Path, cache: Path) -> Iterator[Start]:
    """Starts servers that know neither the user's `.env` nor an earlier run's cache."""
    servers: list[ServerProcess] = []
    empty = tmp_path / "empty.env"
    empty.touch()

    def open_server(*flags: str, **environment: Any) -> ServerProcess:
        own = () if "--env-file" in flags else ("--env-file", str(empty))
        servers.append(ServerProcess(*flags, *own, JARVIS_CACHE_DIR=str(cache), **environment))
        return servers[-1]

    yield open_server
    for server in servers:
        server.kill()
