"""One application over one server, for tests that only differ in what the server answers."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.upstreams import BreakerRules, UpstreamKind
from tests.api.remote.harness import One, remote_app, server_with, upstream


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[One]:
    async with server_with("tiny") as server:
        # One test's failures are not to keep the server from the next one.
        rules = BreakerRules(num_failures=1_000_000)
        there = upstream("a", server, kind=UpstreamKind.VLLM, breaker=rules)
        async with remote_app(there) as app:
            # Afterwards the server's requests are those of the tests.
            await app.host.find("nobodys")
            yield One(app, server)


@pytest.fixture
def one(shared: One) -> One:
    """The model is `tiny`, the upstream `a`."""
    shared.server.requests.clear()
    return shared
