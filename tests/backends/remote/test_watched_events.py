"""How streams end, and what that tells of their server."""

import pytest

from backends.remote.endpoint import Endpoint
from backends.upstream import BreakerState, StreamedReply
from core.upstreams import BreakerRules
from tests.backends.remote.wires import call, open_wire, upstream
from tests.faulty_upstream import faulty_upstream
from tests.upstream_answers import DONE, delta, event, stream


@pytest.mark.parametrize("reads_on", [True, False])
@pytest.mark.parametrize(
    ("last", "breaker"),
    [
        (DONE, BreakerState.CLOSED),
        (event({"error": {"message": "out of memory"}}), BreakerState.OPEN),
        (event({"error": {"message": "out of memory", "code": 500}}), BreakerState.OPEN),
        (event({"error": {"message": "too many", "code": 429}}), BreakerState.CLOSED),
        (event({"error": {"message": "not allowed", "code": 403}}), BreakerState.CLOSED),
    ],
)
async def test_a_stream_that_its_server_ends_with_an_error_is_a_failure_of_it(
    last: bytes, breaker: BreakerState, reads_on: bool
) -> None:
    async with (
        faulty_upstream(stream(delta("a"), last)) as server,
        open_wire(server.url) as wire,
    ):
        endpoint = Endpoint(upstream(server.url, breaker=BreakerRules(num_failures=1)), wire)
        reply = await endpoint.ask(call(is_stream=True), "m")
        assert isinstance(reply, StreamedReply)
        came = b""
        while not came.endswith(last):
            came += await anext(reply.events)
        assert came == delta("a") + last
        assert not reads_on or await anext(reply.events, None) is None
        await reply.events.aclose()
        await reply.events.aclose()
        assert endpoint.state.breaker is breaker
        assert endpoint.num_outstanding == 0
