"""Encrypted connections of a wire: who is trusted, and HTTP/2 where a server offers it."""

import asyncio
import logging
from pathlib import Path

import pytest
from pydantic import SecretStr

from backends.remote.http_wire import HttpWire
from core.errors import ConfigurationError, UpstreamFailed, UpstreamFault
from tests.backends.remote.wires import (
    KEY,
    ask_stream,
    ask_whole,
    call,
    failure_of,
    open_wire,
    read_all,
    soon,
    upstream,
)
from tests.faulty_upstream import CLOSE, HANG, faulty_upstream
from tests.http2_upstream import http2_upstream
from tests.upstream_answers import DONE, chat, chat_stream, delta, whole
from tests.upstream_tls import TestAuthority

CHAT = whole(chat())
JSON_2 = [(":status", "200"), ("content-type", "application/json")]
STREAM_2 = [(":status", "200"), ("content-type", "text/event-stream")]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("authority"))


async def test_a_server_is_trusted_by_the_authoritys_file(authority: TestAuthority) -> None:
    async with (
        faulty_upstream(CHAT, chat_stream("a"), tls=authority.server_context()) as server,
        open_wire(server.url, ca_file=authority.ca_file) as wire,
    ):
        assert (await ask_whole(wire)).status == 200
        assert (await read_all(await ask_stream(wire))).endswith(DONE)
        assert server.num_connections == 1
        assert wire.url.startswith("https://")


async def test_a_server_is_taken_as_it_is_where_nothing_is_verified(
    authority: TestAuthority,
) -> None:
    async with (
        faulty_upstream(CHAT, tls=authority.server_context("elsewhere.example")) as server,
        open_wire(server.url, verify_ssl=False) as wire,
    ):
        assert (await ask_whole(wire)).status == 200


async def test_a_server_that_nobody_vouches_for_gets_no_request(authority: TestAuthority) -> None:
    async with (
        faulty_upstream(CHAT, tls=authority.server_context()) as server,
        open_wire(server.url, api_key=SecretStr(KEY)) as wire,
    ):
        with pytest.raises(UpstreamFailed, match="ca_file") as raised:
            await wire.ask(call(), "tiny")
        assert raised.value.failure.fault is UpstreamFault.CONNECTION
        assert "verify_ssl" in str(raised.value)
        assert server.requests == []


async def test_the_environment_says_not_who_is_trusted(
    authority: TestAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    async with (
        faulty_upstream(CHAT, tls=authority.server_context()) as server,
        open_wire(server.url) as wire,
    ):
        assert (await failure_of(wire)).fault is UpstreamFault.CONNECTION


async def test_a_certificate_of_another_host_is_not_taken(authority: TestAuthority) -> None:
    async with (
        faulty_upstream(CHAT, tls=authority.server_context("elsewhere.example")) as server,
        open_wire(server.url, ca_file=authority.ca_file) as wire,
    ):
        with pytest.raises(UpstreamFailed, match="not for its host"):
            await wire.ask(call(), "tiny")
        assert server.requests == []


async def test_a_server_that_does_not_encrypt_is_a_connection_failure() -> None:
    async with faulty_upstream((b"HTTP/1.1 400 Bad\r\n\r\n", CLOSE)) as server:
        url = server.url.replace("http:", "https:")
        async with open_wire(url, verify_ssl=False, connect_s=0.3) as wire:
            with pytest.raises(UpstreamFailed) as raised:
                await wire.ask(call(), "tiny")
            assert raised.value.failure.fault in (UpstreamFault.CONNECTION, UpstreamFault.TIMEOUT)


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_bad_ca_file_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    url = "https://127.0.0.1:1/v1"
    with pytest.raises(ConfigurationError, match=r"gpu-box: ca_file .*ca\.pem"):
        HttpWire(upstream(url, ca_file=file), url)


@pytest.mark.parametrize("is_closed", [True, False])
async def test_giving_up_in_the_handshake_leaves_nothing_open(is_closed: bool) -> None:
    seen = asyncio.Event()
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set()
        while await reader.read(4096):
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with open_wire(url, connect_s=60) as wire:
            asking = asyncio.create_task(wire.ask(call(), "tiny"))
            await soon(seen.wait())
            if is_closed:
                await wire.close()
            else:
                asking.cancel()
            with pytest.raises(UpstreamFailed if is_closed else asyncio.CancelledError):
                await soon(asking)
            await soon(gone.wait())


async def test_http_2_is_spoken_where_it_is_offered(authority: TestAuthority) -> None:
    tls = authority.server_context(alpn="h2")
    async with (
        http2_upstream(tls, JSON_2, b'{"choices":', b"[]}") as server,
        open_wire(server.url, ca_file=authority.ca_file) as wire,
    ):
        for _ in range(3):
            assert (await ask_whole(wire)).body == b'{"choices":[]}'
        assert (server.num_connections, server.num_requests) == (1, 3)
        assert b'"model":"tiny"' in server.bodies[0]
        await asyncio.gather(*(ask_whole(wire) for _ in range(4)))
        assert server.num_connections > 1


async def test_a_stream_over_http_2_is_read_and_its_connection_kept(
    authority: TestAuthority,
) -> None:
    tls = authority.server_context(alpn="h2")
    async with (
        http2_upstream(tls, STREAM_2, delta("a"), delta("b"), DONE) as server,
        open_wire(server.url, ca_file=authority.ca_file) as wire,
    ):
        for _ in range(3):
            assert await read_all(await ask_stream(wire)) == delta("a") + delta("b") + DONE
            await asyncio.gather(*wire._endings)
        assert (server.num_connections, server.num_requests) == (1, 3)


async def test_giving_up_a_stream_over_http_2_ends_it_at_the_server(
    authority: TestAuthority,
) -> None:
    tls = authority.server_context(alpn="h2")
    async with (
        http2_upstream(tls, STREAM_2, delta("a"), has_end=False) as server,
        open_wire(server.url, ca_file=authority.ca_file) as wire,
    ):
        reply = await ask_stream(wire)
        await reply.events.aclose()
        await soon(server.is_gone.wait())


@pytest.mark.parametrize("pieces", [(), (delta(role="assistant"),)])
async def test_cancelling_over_http_2_ends_the_request_at_the_server(
    authority: TestAuthority, pieces: tuple[bytes, ...]
) -> None:
    tls = authority.server_context(alpn="h2")
    headers = STREAM_2 if pieces else []
    async with (
        http2_upstream(tls, headers, *pieces, has_end=False) as server,
        open_wire(server.url, ca_file=authority.ca_file) as wire,
    ):
        asking = asyncio.create_task(ask_stream(wire))
        await soon(server.asked.wait())
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await soon(server.is_gone.wait())


async def test_a_time_out_over_http_2_is_of_one_request_alone(authority: TestAuthority) -> None:
    tls = authority.server_context(alpn="h2")
    async with (
        http2_upstream(tls, STREAM_2, delta("a"), has_end=False) as server,
        open_wire(server.url, ca_file=authority.ca_file, read_s=0.3) as wire,
    ):
        reply = await ask_stream(wire)
        await anext(reply.events)
        failing = asyncio.create_task(anext(reply.events))
        others = [await ask_stream(wire) for _ in range(3)]
        with pytest.raises(UpstreamFailed) as raised:
            await failing
        assert raised.value.failure.fault is UpstreamFault.TIMEOUT
        for other in others:
            assert await anext(other.events) == delta("a")
            await other.events.aclose()
        await reply.events.aclose()


async def test_a_log_at_its_most_talkative_holds_no_key(
    authority: TestAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = authority.server_context(alpn="h2")
    with caplog.at_level(logging.DEBUG):
        async with (
            http2_upstream(tls, JSON_2, b'{"choices":[]}') as server,
            open_wire(server.url, ca_file=authority.ca_file, api_key=SecretStr(KEY)) as wire,
        ):
            await ask_whole(wire)
    assert KEY not in caplog.text


async def test_a_silent_encrypted_server_is_a_time_out(authority: TestAuthority) -> None:
    async with (
        faulty_upstream((HANG,), tls=authority.server_context()) as server,
        open_wire(server.url, ca_file=authority.ca_file, read_s=0.2) as wire,
    ):
        assert (await failure_of(wire)).fault is UpstreamFault.TIMEOUT
        await soon(server.requests[0].is_gone.wait())


async def test_what_nobody_asked_for_is_no_ones_answer(authority: TestAuthority) -> None:
    unasked = (b"".join(each for each in (*CHAT, *whole(chat("UNASKED"))) if type(each) is bytes),)
    async with (
        faulty_upstream(unasked, CHAT, tls=authority.server_context()) as server,
        open_wire(server.url, ca_file=authority.ca_file) as wire,
    ):
        for _ in range(3):
            assert b"UNASKED" not in (await ask_whole(wire)).body
        assert server.num_connections == 2
