"""One server an engine for all clients: the same tests run against both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.server import Served, served

# Both engines answer alike (tests/parity): that the clients agree on the second is left to --long.
ENGINES = ("llama_cpp", pytest.param("vllm", marks=pytest.mark.long))


@pytest.fixture(scope="session", params=ENGINES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cache: Path
) -> Iterator[Served]:
    with served(request.param, tmp_path_factory.mktemp("client_server"), cache) as running:
        yield running
