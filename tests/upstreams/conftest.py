"""One server of ours before four of all kinds, shared by all that asks through it."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.upstream_servers import UpstreamServer, remote, running
from tests.upstreams.through import entry, opened, upstreams_file


@pytest.fixture(scope="session")
def proxied(
    upstream_servers: dict[str, UpstreamServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UpstreamServer]:
    """A server with no engine, which has seen all of its upstreams."""
    entries = [
        entry(name.replace("_", "-"), server.kind, server.base_url)
        for name, server in upstream_servers.items()
    ]
    path = upstreams_file(tmp_path_factory.mktemp("proxied"), *entries)
    with running(remote(JARVIS_UPSTREAMS_FILE=str(path))) as (server,):
        with opened(server) as client:
            # A name that nobody has is looked for everywhere first.
            assert client.get("/v1/models/nobody-has-this").status_code == 404
        yield server


@pytest.fixture
def proxy(proxied: UpstreamServer) -> Iterator[httpx2.Client]:
    with opened(proxied) as client:
        yield client
