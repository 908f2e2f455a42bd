"""A trace goes on through this server to those that it asks, and so does the request's id."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from backends.remote.host import RemoteHost
from core.upstreams import UpstreamKind, UpstreamPlan
from main import Engines, build_app
from tests.api.metrics.otlp_collector import collecting
from tests.api.remote.harness import HELLO, remote_app, server_with, upstream
from tests.engines import settings_for
from tests.faulty_upstream import FaultyUpstream, SeenRequest
from tests.upstream_answers import chat_answer, status
from tests.upstream_servers import UpstreamServer, jarvis, remote, running
from tests.upstreams.through import entry, upstreams_file

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
GIVEN = {"traceparent": PARENT, "tracestate": "vendor=1", "x-request-id": "mine"}
CHAT: dict[str, Any] = {"model": "tiny", "messages": HELLO}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT,
    "/v1/messages": CHAT | {"max_tokens": 3},
    "/v1/responses": {"model": "tiny", "input": "hi"},
}


def asked(server: FaultyUpstream) -> list[SeenRequest]:
    return [each for each in server.requests if each.method == "POST"]


@pytest.mark.parametrize("kind", UpstreamKind)
async def test_without_traces_here_the_clients_goes_on_as_it_came(kind: UpstreamKind) -> None:
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server, kind=kind)) as app,
    ):
        for path, body in BODIES.items():
            for more in ({}, {"stream": True}):
                response = await app.client.post(path, json=body | more, headers=GIVEN)
                assert response.status_code == 200
                assert response.headers["x-request-id"] == "mine"
        await app.is_idle()
    headers = [each.headers for each in asked(server)]
    assert [each["traceparent"] for each in headers] == [PARENT] * 6
    assert [each["tracestate"] for each in headers] == ["vendor=1"] * 6
    ids = [each.get("x-request-id", "") for each in headers]
    if kind is UpstreamKind.VLLM:
        assert len(set(ids)) == 6
        assert all(each.startswith("mine-") for each in ids)
    else:
        assert ids == ["mine" if kind is UpstreamKind.JARVIS else ""] * 6


async def test_what_is_no_trace_does_not_go_on_and_a_new_id_does() -> None:
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server, kind=UpstreamKind.JARVIS)) as app,
    ):
        odd = {"traceparent": "00-1", "tracestate": "vendor=1", "x-request-id": "a b"}
        response = await app.chat("tiny", headers=odd)
    (request,) = asked(server)
    assert request.headers.keys() & {"traceparent", "tracestate"} == set()
    assert request.headers["x-request-id"] == response.headers["x-request-id"] != "a b"


async def test_who_is_asked_next_belongs_to_the_trace_too_and_looks_at_servers_to_none() -> None:
    async with (
        server_with("tiny", status(500)) as first,
        server_with("tiny", chat_answer("x")) as second,
        remote_app(
            upstream("a", first, max_retries=1, kind=UpstreamKind.VLLM),
            upstream("b", second, priority=1, kind=UpstreamKind.VLLM),
        ) as app,
    ):
        assert (await app.chat("tiny", headers=GIVEN)).status_code == 200
        assert (await app.chat("nobody-has-this", headers=GIVEN)).status_code >= 400
    seen = [*first.requests, *second.requests]
    attempts = [each for each in seen if each.method == "POST"]
    assert len(attempts) >= 2
    assert {each.headers["traceparent"] for each in attempts} == {PARENT}
    assert len({each.headers["x-request-id"] for each in attempts}) == len(attempts)
    looks = [each for each in seen if each.method == "GET"]
    assert looks
    assert all(each.headers.keys().isdisjoint(GIVEN) for each in looks)


async def test_requests_at_the_same_time_keep_their_traces_apart() -> None:
    async with (
        server_with("tiny", chat_answer("x")) as server,
        remote_app(upstream("a", server, kind=UpstreamKind.JARVIS)) as app,
    ):
        ids = [f"{number:016x}" for number in range(1, 17)]
        await asyncio.gather(
            *(
                app.chat(
                    "tiny", headers={"traceparent": f"00-{TRACE_ID}-{i}-01", "x-request-id": i}
                )
                for i in ids
            )
        )
    told = {
        (each.headers["traceparent"].split("-")[2], each.headers["x-request-id"])
        for each in asked(server)
    }
    assert told == {(each, each) for each in ids}


async def test_with_traces_what_is_asked_belongs_to_this_servers_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        async with server_with("tiny", chat_answer("x")) as server:
            there = RemoteHost(UpstreamPlan((upstream("a", server),)))
            app = build_app(settings_for("remote"), Engines(None, None, there))
            transport = httpx.ASGITransport(app)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
            ):
                response = await client.post("/v1/chat/completions", json=CHAT, headers=GIVEN)
        (request,) = asked(server)
    assert response.status_code == 200
    (span,) = collector.spans
    assert (span.name, span.trace_id.hex()) == ("POST /v1/chat/completions", TRACE_ID)
    assert span.parent_span_id.hex() == PARENT.split("-")[2]
    assert request.headers["traceparent"] == f"00-{TRACE_ID}-{span.span_id.hex()}-01"
    assert request.headers["tracestate"] == "vendor=1"


def ask(proxy: UpstreamServer, model: str) -> None:
    response = httpx.post(
        f"{proxy.base_url}/chat/completions",
        json={"model": model, "messages": HELLO, "max_tokens": 3},
        headers=GIVEN,
        timeout=60,
    )
    assert response.status_code == 200, response.text


@pytest.mark.long
@pytest.mark.engine
def test_a_server_of_ours_behind_another_goes_on_with_its_trace(
    tmp_path: Path, cache: Path
) -> None:
    with collecting() as collector:
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with running(jarvis(cache, **traced)) as (behind,):
            file = upstreams_file(tmp_path, entry("a", "jarvis", behind.base_url))
            with running(remote(JARVIS_UPSTREAMS_FILE=str(file), **traced)) as (proxy,):
                ask(proxy, "jarvis-tiny")
            before, after = proxy.output, behind.output
        chats = {each.span_id: each for each in collector.spans if "chat" in each.name}
    (first,) = [each for each in chats.values() if each.parent_span_id not in chats]
    (second,) = [each for each in chats.values() if each.parent_span_id == first.span_id]
    assert {first.trace_id.hex(), second.trace_id.hex()} == {TRACE_ID}
    for lines in (before, after):
        assert any("mine" in line and "/v1/chat/completions" in line for line in lines)
