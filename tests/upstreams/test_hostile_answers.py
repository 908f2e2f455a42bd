"""A server that means harm, or is badly broken, costs its own requests and nobody else's."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import httpcore2
import pytest
import pytest_asyncio
from pydantic import SecretStr

from backends.remote.beginnings import MOST_LINES, EventSense, read_event
from backends.remote.response_bodies import Incoming
from core.errors import UpstreamFailed
from core.upstreams import BreakerRules, UpstreamKind, UpstreamTimeouts
from serving.remote.chat_events import AskedFor, ChatEvents
from serving.remote.chunks import MOST_OBJECTS
from tests.api.remote.harness import HELLO, One, remote_app, server_with, upstream
from tests.faulty_upstream import CLOSE, Endlessly, SeenRequest, Steps, faulty_upstream
from tests.upstream_answers import (
    DONE,
    STREAM_HEAD,
    chat_answer,
    chunk,
    delta,
    models,
    status,
    stream,
    unended,
    whole,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "sk-evil-0123456789"
APIS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO, "stream": True},
    "/v1/messages": {"messages": HELLO, "max_tokens": 5, "stream": True},
    "/v1/responses": {"input": "hi"},
}
LISTS = b"[" + b"[]," * 4_000_000 + b"0]"
FIELDS = b",".join(b'"%x":0' % number for number in range(1_000_000))
LINES = b"data:x\n" * 2_000_000
BOMBS: dict[str, Steps] = {
    "lists instead of an answer": stream(b'data: {"error":%b}\n\n' % LISTS, DONE),
    "lists beside an answer": stream(b'data: {"x":%b}\n\n' % LISTS, DONE),
    "fields": stream(b"data: {%b}\n\n" % FIELDS, DONE),
    "lines": stream(LINES + b"\n", DONE),
    "lines of an error": stream(delta("a"), LINES + b"error: x\n\n", DONE),
    "a whole body of lists": whole(b'{"choices":[],"error":%b}' % LISTS),
    "a whole body of fields": whole(b"{%b}" % FIELDS),
    "blank lines": stream(b"\n\n" * 500_000, DONE),
    "a type that is no text": stream(b'data: {"type":[]}\n\n', DONE),
    "a status that is none": status(600),
    "the highest status": status(999),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def evil() -> AsyncIterator[One]:
    """The model is `tiny`."""
    async with server_with("tiny") as server:
        rules = BreakerRules(num_failures=1_000_000)
        there = upstream("evil", server, kind=UpstreamKind.VLLM, breaker=rules)
        async with remote_app(there) as app:
            await app.host.find("nobodys")
            yield One(app, server)


async def turns_during(work: Awaitable[Any]) -> int:
    """How often somebody else got a turn until `work` was done."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await work
    counting.cancel()
    return turns


@pytest.mark.parametrize("path", APIS)
@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_ends_in_an_answer_or_in_an_error(evil: One, bomb: str, path: str) -> None:
    evil.server.answer(BOMBS[bomb])
    response = await evil.app.client.post(path, json={"model": "tiny", **APIS[path]})
    await evil.app.is_idle()
    if response.status_code == 200 and path != "/v1/responses":
        told = response.content[-600:]
        assert told.endswith((DONE, b"}")) or b"error" in told
    else:
        assert response.status_code in (200, 502)
    assert b"internal" not in response.content[:600]
    assert (await evil.app.client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("path", "event", "least"),
    [
        ("/v1/chat/completions", b'data: {"choices":[],"error":null}\n\n', 100),
        ("/v1/messages", b'data: {"choices":[]}\n\n', 400),
        ("/v1/responses", b'data: {"choices":[]}\n\n', 400),
    ],
)
async def test_thousands_of_small_events_leave_turns_to_others(
    evil: One, path: str, event: bytes, least: int
) -> None:
    evil.server.answer(stream(event * 30_000, DONE))
    body = {"model": "tiny", **APIS[path]}
    asked = evil.app.client.post(path, json=body)
    assert await turns_during(asked) > least
    await evil.app.is_idle()


@pytest.mark.parametrize("size", [1, 1 << 16])
async def test_a_body_that_is_there_already_leaves_turns_to_others(size: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10_000 if size == 1 else 500):
            yield b"x" * size

    incoming = Incoming(httpcore2.Response(200, content=pieces()))
    assert await turns_during(incoming.read(1 << 26)) > 100


async def test_an_endless_refusal_is_cut(evil: One) -> None:
    endless = Endlessly(chunk(b"x" * 65536))
    evil.server.answer((STREAM_HEAD.replace(b"200", b"400", 1), endless))
    response = await evil.app.chat("tiny")
    assert response.status_code == 400
    assert len(response.content) < 4096
    await evil.app.is_idle()


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[' + b"{}," * MOST_OBJECTS + b"{}]}",
        b'{"choices":[{"delta":{"tool_calls":[' + b"{}," * MOST_OBJECTS + b"{}]}}]}",
        b'{"choices":[],"error":%b}' % LISTS,
        b'{"choices":[],"object":"error","x":%b}' % LISTS,
    ],
)
async def test_a_chunk_of_millions_of_parts_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        ChatEvents("evil", AskedFor()).feed(body)


@pytest.mark.parametrize("nothing", [b"null", b"false", b'""', b"{ }", b"[]", b"0"])
async def test_an_error_that_says_nothing_is_none(nothing: bytes) -> None:
    assert ChatEvents("evil", AskedFor()).feed(b'{"error":%b}' % nothing) == []


async def test_what_is_long_in_an_event_says_something() -> None:
    long = b'"%b"' % (b"x" * 100_000)
    answer = b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % long
    assert read_event(answer).sense is EventSense.ANSWER
    error = read_event(b'data: {"error":%b}\n\n' % long)
    assert (error.sense, len(error.body)) == (EventSense.ERROR, 65536)
    lines = b"data: {}\n" * MOST_LINES
    assert read_event(lines + b"\n").sense is EventSense.UNREADABLE
    assert read_event(lines[9:] + b"\n").sense is EventSense.UNREADABLE, "several objects"


async def test_a_key_in_a_list_of_models_is_not_shown() -> None:
    listed = models("tiny", "a-" + KEY, note="Bearer " + KEY)
    paths = {"/v1/models": whole(json.dumps(listed).encode())}
    async with faulty_upstream(chat_answer("hi"), paths=paths) as server:
        header = {"x-api-key": SecretStr("key-in-header"), "x-team": SecretStr("research")}
        there = upstream("a", server, api_key=SecretStr(KEY), extra_headers=header)
        async with remote_app(there) as app:
            await app.host.find("nobodys")
            for path in ("/v1/models", "/v1/upstreams", "/health/ready"):
                told = await app.client.get(path)
                assert KEY not in told.text
                assert "tiny" in told.text
            assert app.host.models()[0].facts["note"] == "Bearer ***"


async def test_a_request_that_kills_its_connection_is_sent_once_more_at_most() -> None:
    held = asyncio.Event()

    def slow(_: SeenRequest) -> Steps:
        return (held, *whole({"choices": []}))

    async with server_with("tiny", slow) as server, remote_app(upstream("a", server)) as app:
        await app.host.find("tiny")
        asking = [asyncio.create_task(app.chat("tiny")) for _ in range(5)]
        await server.until(lambda: sum(r.method == "POST" for r in server.requests) == 5)
        held.set()
        assert {(await each).status_code for each in asking} == {200}
        server.requests.clear()
        server.answer((CLOSE,))
        assert (await app.chat("tiny")).status_code == 502
        assert len(server.requests) == 2


async def test_a_client_that_stops_reading_does_not_keep_the_server() -> None:
    endless = unended(Endlessly(chunk(delta("x" * 1000) * 50)))
    times = UpstreamTimeouts(connect_s=2.0, read_s=2.0, total_s=0.5)
    body = json.dumps({"model": "tiny", "stream": True, "messages": HELLO}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: ::1\r\ncontent-type: application/json\r\n"
    async with (
        server_with("tiny", endless) as server,
        remote_app(upstream("a", server, timeouts=times)) as app,
    ):
        await app.host.find("tiny")
        port = int(app.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await server.until(lambda: any(each.is_gone.is_set() for each in server.requests))
        assert app.num_outstanding == 0
        writer.transport.abort()
        await app.is_idle()
