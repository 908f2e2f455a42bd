"""How many tokens a prompt has is asked of the server that would answer it, where it can tell."""

import json
from typing import Any

import pytest

from core.upstreams import UpstreamKind
from tests.api.remote.harness import (
    HELLO,
    One,
    RemoteApp,
    answering,
    remote_app,
    sent,
    server_with,
    upstream,
)
from tests.faulty_upstream import RESET
from tests.upstream_answers import status, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
COUNTED = whole({"count": 42, "max_model_len": 9, "tokens": list(range(42)), "token_strs": None})


async def counts(app: RemoteApp, **fields: Any) -> list[Any]:
    """What both APIs say."""
    body = {"model": "tiny", "messages": HELLO} | fields
    of_messages = await app.client.post("/v1/messages/count_tokens", json=body)
    of_responses = await app.client.post(
        "/v1/responses/input_tokens", json={"model": "tiny", "input": "hi"}
    )
    return [of_messages, of_responses]


async def test_the_server_is_asked_with_the_chat_that_it_would_get(one: One) -> None:
    one.server.answer(COUNTED)
    answers = await counts(one.app, tools=[TOOL], system="be kind")
    assert [each.json()["input_tokens"] for each in answers] == [42, 42]
    assert [each.path for each in one.server.requests] == ["/tokenize", "/tokenize"]
    first, second = sent(one.server)
    assert set(first) == {"model", "messages", "tools"}
    assert [each["role"] for each in first["messages"]] == ["system", "user"]
    assert first["tools"][0]["function"]["name"] == "f"
    assert second == {"model": "tiny", "messages": HELLO}


async def test_a_server_of_our_own_is_told_of_thinking_too() -> None:
    async with (
        server_with("tiny", COUNTED) as server,
        remote_app(upstream("a", server, kind=UpstreamKind.JARVIS)) as app,
    ):
        body = {"model": "tiny", "input": "hi", "reasoning": {"effort": "low"}}
        response = await app.client.post("/v1/responses/input_tokens", json=body)
    assert response.json()["input_tokens"] == 42
    assert sent(server)[0]["reasoning_effort"] == "low"


async def test_a_server_without_a_way_to_count_is_not_asked() -> None:
    async with server_with("tiny", COUNTED) as server, remote_app(upstream("a", server)) as app:
        answers = await counts(app)
    assert [each.status_code for each in answers] == [400, 400]
    assert "how many tokens" in answers[0].json()["error"]["message"]
    assert sent(server) == []


async def test_what_the_server_says_instead_is_told(one: One) -> None:
    for answer, code in (
        (status(404), 404),
        (status(500), 500),
        ((RESET,), 502),
        (whole({"count": "many"}), 502),
        (whole({"tokens": []}), 502),
    ):
        one.server.answer(answer)
        of_messages, of_responses = await counts(one.app)
        assert of_messages.status_code == of_responses.status_code == code
        assert "upstream a" in of_messages.json()["error"]["message"]
        assert of_responses.json()["error"]["upstream"] == "a"


async def test_the_engines_own_prompts_are_counted_by_it() -> None:
    async with (
        server_with("tiny", COUNTED) as server,
        remote_app(upstream("a", server), local=answering()) as app,
    ):
        body = {"model": "jarvis-tiny", "messages": HELLO}
        response = await app.client.post("/v1/messages/count_tokens", json=body)
    assert 0 < response.json()["input_tokens"] < 42
    assert sent(server) == []


PASSED = {
    "/tokenize": b'{"model":"tiny","messages":[{"role":"user","content":"a"}],"odd":1.0}',
    "/detokenize": b'{"model":"tiny","tokens":[1 ,2]}',
}


@pytest.mark.parametrize("path", PASSED)
async def test_routes_of_the_servers_own_are_passed_through(one: One, path: str) -> None:
    one.server.answer(COUNTED)
    response = await one.app.raw(path, PASSED[path])
    assert response.json()["count"] == 42
    assert one.server.requests[-1].path == path
    assert json.loads(one.server.requests[-1].body) == json.loads(PASSED[path])


async def test_a_route_that_a_server_does_not_have_is_refused_by_name(one: One) -> None:
    for path in ("/apply-template", "/v1/chat/completions/render"):
        response = await one.app.raw(path, b'{"model":"tiny","messages":[]}')
        assert response.status_code == 400
        assert path.strip("/").removeprefix("v1/") in response.json()["error"]["message"]
    assert sent(one.server) == []
