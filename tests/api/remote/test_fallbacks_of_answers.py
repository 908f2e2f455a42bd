"""Messages and responses, whose answers are made anew here, go the same ways as chats."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.api.remote.harness import (
    HELLO,
    LOCAL_MODEL,
    RemoteApp,
    answering,
    dying,
    loading,
    posted,
    remote_app,
    server_with,
    servers_with,
    upstream,
)
from tests.faulty_upstream import HANG, RESET
from tests.upstream_answers import chat_answer, delta, status, unended

GOOD = chat_answer("rem", "ote")
LOCALS = {"loading": loading, "dying": dying}


async def message(app: RemoteApp, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "max_tokens": 5, "messages": HELLO} | fields
    return await app.client.post("/v1/messages", json=body)


async def respond(app: RemoteApp, model: str, **fields: Any) -> httpx.Response:
    return await app.client.post("/v1/responses", json={"model": model, "input": "hi"} | fields)


def streamed_text(response: httpx.Response) -> str:
    """All deltas of either API."""
    events = [line for line in response.text.split("\n") if line.startswith("data: ")]
    texts = []
    for event in events:
        body = json.loads(event.removeprefix("data: "))
        if body["type"] in ("content_block_delta", "response.output_text.delta"):
            found = body["delta"]
            texts.append(found if isinstance(found, str) else found["text"])
    return "".join(texts)


async def background(app: RemoteApp, model: str) -> dict[str, Any]:
    """The response when it has ended."""
    begun = (await respond(app, model, background=True)).json()
    while True:
        found: dict[str, Any] = (await app.client.get(f"/v1/responses/{begun['id']}")).json()
        if found["status"] not in ("queued", "in_progress"):
            return found
        await asyncio.sleep(0)


async def test_a_server_answers_in_both_apis() -> None:
    async with server_with("tiny", GOOD) as server, remote_app(upstream("a", server)) as app:
        whole_message, whole_response = await message(app, "tiny"), await respond(app, "tiny")
        streams = [await message(app, "tiny", stream=True), await respond(app, "tiny", stream=True)]
        later = await background(app, "tiny")
        await app.is_idle()
    assert whole_message.json()["content"][0]["text"] == "remote"
    assert whole_message.json()["model"] == "tiny"
    assert whole_response.json()["output"][0]["content"][0]["text"] == "remote"
    assert [streamed_text(each) for each in streams] == ["remote", "remote"]
    assert (later["status"], later["output"][0]["content"][0]["text"]) == ("completed", "remote")
    for each in (whole_message, whole_response, *streams):
        assert each.headers["x-jarvis-upstream"] == "a"
        assert "x-jarvis-attempts" not in each.headers
    assert {seen.path for seen in server.requests if seen.method == "POST"} == {
        "/v1/chat/completions"
    }


@pytest.mark.parametrize("case", LOCALS)
async def test_a_server_stands_in_for_the_engine(case: str) -> None:
    async with server_with("tiny", GOOD) as server:
        there, chain = upstream("a", server), ("tiny",)
        async with remote_app(there, local=LOCALS[case](), default_fallbacks=chain) as app:
            answers = [
                await message(app, LOCAL_MODEL),
                await message(app, LOCAL_MODEL, stream=True),
                await respond(app, LOCAL_MODEL),
                await respond(app, LOCAL_MODEL, stream=True),
            ]
            later = await background(app, LOCAL_MODEL)
            await app.is_idle()
    assert later["status"] == "completed"
    reason = "failed" if case == "dying" else "unavailable"
    for each in answers:
        assert each.status_code == 200, each.text
        assert each.headers["x-jarvis-upstream"] == "a"
        assert each.headers["x-jarvis-attempts"] == f"local={reason}"
    assert [streamed_text(each) for each in answers[1::2]] == ["remote", "remote"]


async def test_the_engine_stands_in_for_a_server() -> None:
    async with server_with("tiny", status(503)) as server:
        there, chain = upstream("a", server), (LOCAL_MODEL,)
        async with remote_app(there, local=answering(), default_fallbacks=chain) as app:
            answers = [
                await message(app, "tiny"),
                await message(app, "tiny", stream=True),
                await respond(app, "tiny"),
                await respond(app, "tiny", stream=True),
            ]
            later = await background(app, "tiny")
            await app.is_idle()
    assert later["output"][0]["content"][0]["text"] == "local"
    for each in answers:
        assert each.status_code == 200, each.text
        assert each.headers["x-jarvis-upstream"] == "local"
        assert each.headers["x-jarvis-attempts"] == "a=503"
    assert [streamed_text(each) for each in answers[1::2]] == ["local", "local"]
    assert all("local" in each.text for each in answers[::2])


async def test_if_all_fail_the_last_ones_status_is_told() -> None:
    async with servers_with({"one": status(500), "two": status(529)}) as (first, second):
        a, b = upstream("a", first), upstream("b", second)
        async with remote_app(a, b, default_fallbacks=("two",)) as app:
            answers = [await message(app, "one"), await respond(app, "one")]
            later = await background(app, "one")
            await app.is_idle()
    for each in answers:
        assert each.status_code == 529
        assert each.headers["x-jarvis-upstream"] == "b"
        assert each.headers["x-jarvis-attempts"] == "a=500, b=529"
    assert later["status"] == "failed"
    assert later["error"]["message"]


async def test_a_failure_in_the_middle_is_no_splice() -> None:
    broken = unended(delta("ha"), delta("lf"), RESET)
    async with servers_with({"bad": broken, "good": GOOD}) as (bad, good):
        a, b = upstream("a", bad), upstream("b", good)
        async with remote_app(a, b, default_fallbacks=("good",)) as app:
            of_messages = await message(app, "bad", stream=True)
            of_responses = await respond(app, "bad", stream=True)
            whole_message = await message(app, "bad")
            await app.is_idle()
    assert posted(good) == 0
    assert streamed_text(of_messages) == streamed_text(of_responses) == "half"
    assert "event: error\n" in of_messages.text
    assert "message_stop" not in of_messages.text
    assert "response.failed" in of_responses.text
    assert whole_message.status_code == 502
    assert "upstream a" in whole_message.json()["error"]["message"]


async def test_what_the_server_refuses_is_not_asked_of_others() -> None:
    async with servers_with({"bad": status(404), "good": GOOD}) as (bad, good):
        a, b = upstream("a", bad), upstream("b", good)
        async with remote_app(a, b, default_fallbacks=("good",)) as app:
            answers = [await message(app, "bad"), await respond(app, "bad")]
    assert [each.status_code for each in answers] == [404, 404]
    assert posted(good) == 0


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_a_client_that_goes_ends_the_request_at_the_server(path: str) -> None:
    async with (
        server_with("tiny", unended(delta("a"), HANG)) as server,
        remote_app(upstream("a", server)) as app,
    ):
        body = {"model": "tiny", "max_tokens": 5, "messages": HELLO, "stream": True}
        if path == "/v1/responses":
            body = {"model": "tiny", "input": "hi", "stream": True}
        async with app.client.stream("POST", path, json=body) as response:
            await anext(response.aiter_bytes())
        seen = next(each for each in server.requests if each.method == "POST")
        await seen.is_gone.wait()
        await app.is_idle()
