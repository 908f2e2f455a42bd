"""Large bodies are bounded all together: refused before they are read, and given back however their
request ends.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import httpx
import pytest
import pytest_asyncio

from backends.scripted import END_ID, ScriptedBackend
from serving.shares import Shares
from tests.api.served import HELLO, Served, error_of, served
from tests.api.streams import Gate

KIB = 1 << 10
# Of which two are as many as may be under way.
LARGE = 1024 * KIB
FLAGS = {"JARVIS_MAX_BODY_BYTES": str(LARGE), "JARVIS_MAX_BODIES_MIB": "1"}
COUNTED = LARGE - 64 * KIB
KEYS = ("0123456789abcdef-one", "0123456789abcdef-two")
PATH = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


def large_chat(**fields: object) -> bytes:
    """Spaces count too."""
    return json.dumps({"messages": HELLO} | fields).encode().ljust(LARGE)


def held(app: Served) -> int:
    shares: Shares | None = getattr(app.application.state, "held_bodies", None)
    return 0 if shares is None else shares.total


async def until_held(app: Served, num_bytes: int) -> None:
    async with asyncio.timeout(3):
        while held(app) != num_bytes:
            await asyncio.sleep(0)


async def post(app: Served, key: str = "", **fields: object) -> httpx.Response:
    headers = {**JSON, "x-api-key": key}
    return await app.client.post(PATH, content=large_chat(**fields), headers=headers)


@asynccontextmanager
async def sending(app: Served, key: str = "") -> AsyncIterator[asyncio.StreamReader]:
    """A client that says how much it will send, and sends none of it."""
    url = app.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    with closing(writer):
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {LARGE}\r\n\r\n".encode()
        )
        yield reader


@pytest_asyncio.fixture
async def gate() -> Gate:
    return Gate()


@pytest_asyncio.fixture
async def app(gate: Gate) -> AsyncIterator[Served]:
    backend = ScriptedBackend(lambda _: [97, END_ID], gate=gate.passed)
    async with served(backend, **FLAGS) as opened:
        yield opened


async def test_one_too_many_is_refused_unread_and_small_ones_are_answered(
    app: Served, gate: Gate
) -> None:
    gate.open()
    async with sending(app), sending(app):
        await until_held(app, 2 * COUNTED)
        async with sending(app) as refused:
            head = (await refused.readuntil(b"\r\n\r\n")).decode().lower()
            assert head.startswith("http/1.1 429")
            assert "retry-after: 1\r\n" in head
        answer = await post(app)
        assert (answer.status_code, error_of(answer)["code"]) == (429, "queue_full")
        assert (await app.chat()).status_code == 200
    await until_held(app, 0)
    assert (await post(app)).status_code == 200


async def test_what_does_not_say_how_long_it_is_is_refused_when_it_is_too_much(
    app: Served,
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield bytes(100 * KIB)

    async with sending(app), sending(app):
        await until_held(app, 2 * COUNTED)
        answer = await app.client.post(PATH, content=pieces(), headers=JSON)
        assert (answer.status_code, error_of(answer)["code"]) == (429, "queue_full")
    await until_held(app, 0)


async def test_a_key_leaves_as_much_as_it_holds() -> None:
    flags = {**FLAGS, "JARVIS_MAX_BODIES_MIB": "4", "JARVIS_API_KEYS": ",".join(KEYS)}
    async with served(ScriptedBackend(lambda _: [97, END_ID]), **flags) as app:
        async with sending(app, KEYS[0]), sending(app, KEYS[0]):
            await until_held(app, 2 * COUNTED)
            answer = await post(app, KEYS[0])
            assert (answer.status_code, error_of(answer)["code"]) == (429, "queue_full")
            assert (await post(app, KEYS[1])).status_code == 200
        await until_held(app, 0)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_it_is_held_until_its_answer_has_ended(
    app: Served, gate: Gate, *, is_stream: bool
) -> None:
    asking = asyncio.create_task(post(app, stream=is_stream))
    await asyncio.wait_for(gate.is_waited_for.wait(), 3)
    assert held(app) == COUNTED
    gate.open()
    assert (await asking).status_code == 200
    await until_held(app, 0)


async def test_it_is_given_back_however_its_request_ends(app: Served, gate: Gate) -> None:
    assert (await post(app, n="x")).status_code == 400
    assert (await post(app, model="nobody's")).status_code == 404
    assert (await post(app, timeout=0.001)).status_code == 408
    await until_held(app, 0)
    gate.open(1)
    async with app.client.stream(
        "POST", PATH, content=large_chat(stream=True), headers=JSON
    ) as stream:
        await anext(stream.aiter_raw())
        assert held(app) == COUNTED
    await until_held(app, 0)
    asking = asyncio.create_task(post(app))
    await until_held(app, COUNTED)
    asking.cancel()
    await until_held(app, 0)


async def test_a_conversation_that_is_gone_on_with_is_held_as_its_body_would_be(
    app: Served, gate: Gate
) -> None:
    gate.open()
    filling = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "x" * 800_000}]}]
    first = {"input": [*filling, {"role": "user", "content": "hi"}]}
    kept = await app.client.post("/v1/responses", json=first)
    assert kept.status_code == 200, kept.text
    await until_held(app, 0)
    async with sending(app), sending(app):
        await until_held(app, 2 * COUNTED)
        follow = {"input": "more", "previous_response_id": kept.json()["id"]}
        answer = await app.client.post("/v1/responses", json=follow)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
    await until_held(app, 0)
    assert (await app.client.post("/v1/responses", json=follow)).status_code == 200
    await until_held(app, 0)
