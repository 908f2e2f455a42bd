"""Requests that no client library would write, as bytes: none of them gets past the guard."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.api.access.guarded import USE, Guarded, guarded

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY = b'{"messages": [{"role": "user", "content": "hi"}]}'
HOST = b"Host: 127.0.0.1\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Guarded]:
    async with guarded(f"user={USE}") as opened:
        yield opened


async def status_of(server: Guarded, head: bytes, body: bytes = b"") -> int:
    """The status of the first answer."""
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        writer.write(head + length + b"Connection: close\r\n\r\n" + body)
        line = await reader.readline()
        await reader.read()
        return int(line.split()[1])
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    "host",
    [
        b"Host: x/health?\r\n",
        b"Host: localhost/health?\r\n",
        b"Host: a#\r\n",
        b"Host: 127.0.0.1/health/ready#\r\n",
        b"Host: [::1]/health\r\n",
        b"Host: x\r\nHost: y/health?\r\n",
        b"Host: x/health?\r\nHost: x\r\n",
        b"Host:\r\n",
        b"X-Forwarded-Prefix: /health\r\nHost: x\r\n",
        b"X-Original-URL: /health\r\nX-Rewrite-URL: /health\r\nHost: x\r\n",
        b"X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nHost: x\r\n",
        b"X-HTTP-Method-Override: GET\r\nHost: x\r\n",
    ],
)
@pytest.mark.parametrize("target", [b"POST /v1/chat/completions", b"GET /v1/models"])
async def test_no_header_changes_the_path_that_is_guarded(
    server: Guarded, target: bytes, host: bytes
) -> None:
    body = BODY if target.startswith(b"POST") else b""
    assert await status_of(server, target + b" HTTP/1.1\r\n" + host, body) in (400, 401, 421)


@pytest.mark.parametrize(
    "target",
    [
        b"//v1/models",
        b"///v1/models",
        b"/v1/../v1/models",
        b"/health/../v1/models",
        b"/health/ready/../../v1/models",
        b"/health%2f..%2fv1/models",
        b"/health%2F../v1/models",
        b"/%2e%2e/health",
        b"/health/",
        b"/health//",
        b"/health/ready/",
        b"/health/ready/x",
        b"/health;/v1/models",
        b"/health%00",
        b"/health%20",
        b"/health%0a",
        b"/health%3f",
        b"/HEALTH",
        b"/Health/Ready",
        b"//health",
        b"/v1/models?/health",
        b"/v1/models#/health",
        b"/v1/models%3f/health",
        b"/\xe2\x80\xae/health",
        b"http://x/v1/models",
        b"http://x/health/../v1/models",
        b"http://127.0.0.1/health@x/v1/models",
        b"/metrics?/health",
        b"/docs",
        b"*",
        b"health",
    ],
)
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
async def test_no_way_of_writing_a_target_gets_in(
    server: Guarded, target: bytes, version: bytes
) -> None:
    head = b"GET " + target + b" " + version + b"\r\n" + HOST
    assert await status_of(server, head) in (400, 401, 404)


@pytest.mark.parametrize(
    "target", [b"/health", b"/%68ealth", b"http://any/health", b"/health?a=/v1/models"]
)
async def test_health_is_open_however_it_is_written(server: Guarded, target: bytes) -> None:
    assert await status_of(server, b"GET " + target + b" HTTP/1.1\r\n" + HOST) == 200


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE", b"POST", b"PUT", b"DELETE", b"PATCH"])
async def test_health_is_open_to_be_read_alone(server: Guarded, method: bytes) -> None:
    assert await status_of(server, method + b" /health HTTP/1.1\r\n" + HOST) == 401


async def test_connect_gets_nowhere(server: Guarded) -> None:
    assert await status_of(server, b"CONNECT x:80 HTTP/1.1\r\n" + HOST) in (400, 401)


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer " + bytes(range(128, 256)),
        b"Bearer \x01\x02\x03\x7f",
        b"\xff\xfe",
        b"Bearer " + "ключ-ключ-ключ-ключ".encode(),
        b"Bearer " + USE.encode() + b"\xff",
        b"Bearer\t" + USE.encode(),
        b"Bearer " + USE.encode() + b"\x00",
        b"Bearer " + b"x" * 60_000,
        b", Bearer " + USE.encode(),
    ],
)
async def test_odd_bytes_are_an_unknown_key(server: Guarded, value: bytes) -> None:
    head = b"GET /v1/models HTTP/1.1\r\n" + HOST + b"Authorization: " + value + b"\r\n"
    assert await status_of(server, head) in (400, 401, 431)


async def test_a_websocket_is_not_accepted(server: Guarded) -> None:
    head = (
        b"GET /health HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade\r\n"
    )
    assert await status_of(server, head) != 101
