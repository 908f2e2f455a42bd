"""A client with valid access that means harm leaves nothing behind, here or at a server."""

import asyncio
import json
import random

import pytest

from core.upstreams import BreakerRules, UpstreamTimeouts
from tests.api.remote.harness import HELLO, RemoteApp, remote_app, server_with, upstream
from tests.faulty_upstream import HANG, SeenRequest, Slowly, Steps
from tests.upstream_answers import chunk, delta, rate_limited, status, unended

PATIENT = UpstreamTimeouts(connect_s=5.0, read_s=60.0, total_s=60.0)
NUM_CLIENTS = 150


def some_answer(_: SeenRequest) -> Steps:
    """One that does not end by itself."""
    slow = Slowly(chunk(delta("word")) * 1000, 0.001, 200)
    return random.choice([(HANG,), unended(delta("a"), HANG), unended(slow, HANG)])


def request_bytes(*, is_stream: bool) -> bytes:
    body = json.dumps({"model": "tiny", "stream": is_stream, "messages": HELLO}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: ::1\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


async def leave(app: RemoteApp, turn: int, may_leave: asyncio.Event) -> None:
    """Some leave at once, some a little later, some when all have come."""
    port = int(app.url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes(is_stream=turn % 2 == 0))
    if turn % 3 == 0:
        await may_leave.wait()
    else:
        for _ in range(turn):
            await asyncio.sleep(0)
    if turn % 5:
        writer.transport.abort()
    else:
        writer.close()


async def test_of_clients_that_leave_at_any_moment_nothing_is_left() -> None:
    async with (
        server_with("tiny", some_answer) as server,
        remote_app(upstream("a", server, timeouts=PATIENT)) as app,
    ):
        await app.host.find("tiny")
        may_leave = asyncio.Event()
        clients = [asyncio.create_task(leave(app, n, may_leave)) for n in range(NUM_CLIENTS)]
        await server.until(
            lambda: sum(each.method == "POST" for each in server.requests) >= NUM_CLIENTS // 3
        )
        may_leave.set()
        await asyncio.gather(*clients)
        await app.is_idle()
        await server.until(
            lambda: all(e.is_gone.is_set() for e in server.requests if e.method == "POST")
        )
        assert app.host.states()[0].endpoints[0].breaker == "closed"


@pytest.mark.parametrize("answer", [rate_limited("0"), status(500), status(503)])
async def test_a_failing_server_is_asked_no_more_often_than_it_was_set(answer: Steps) -> None:
    rules = BreakerRules(num_failures=1_000_000)
    async with server_with("tiny", answer) as server:
        there = upstream("a", server, max_retries=1, breaker=rules, timeouts=PATIENT)
        fallbacks = {"tiny": ("a/tiny", "tiny2")}
        async with remote_app(there, fallbacks=fallbacks) as app:
            await app.host.find("tiny")
            server.requests.clear()
            off = {"x-jarvis-fallbacks": "off"}
            answers = await asyncio.gather(*(app.chat("tiny", headers=off) for _ in range(10)))
            assert {each.status_code for each in answers} == {int(answer[0].split()[1])}  # type: ignore[union-attr]
            assert len(server.requests) == 20


async def test_thousands_of_fields_are_refused_before_anybody_is_asked() -> None:
    async with server_with("tiny") as server, remote_app(upstream("a", server)) as app:
        await app.host.find("tiny")
        server.requests.clear()
        fields = ",".join(f'"{number}":0' for number in range(20_000))
        refused = await app.raw("/v1/chat/completions", f'{{"model":"tiny",{fields}}}'.encode())
        assert refused.status_code == 400
        assert "allowed are at most" in refused.text
        assert not server.requests
