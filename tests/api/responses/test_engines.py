"""Responses of the shipped model: a tool's loop, JSON by a schema, streams, the background."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.responses.asking import PATH
from tests.api.responses.folding import read_frames
from tests.api.responses.strictly import check_response
from tests.engines import Engine, serve

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

TOOL = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
GREEDY = {"temperature": 0}


@pytest.fixture(params=["llama", "vllm"])
def engine(request: pytest.FixtureRequest) -> Engine:
    started = request.getfixturevalue(request.param)
    assert isinstance(started, Engine)
    return started


@pytest_asyncio.fixture(loop_scope="session")
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serve(engine.backend, "llama_cpp", "auto") as url,
        httpx.AsyncClient(base_url=url, timeout=60) as opened,
    ):
        yield opened


async def respond(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=GREEDY | fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    check_response(body)
    return body


def plain(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    changing = ("id", "call_id")
    return [{k: v for k, v in item.items() if k not in changing} for item in output]


async def test_a_tool_is_called_and_its_result_gone_on_with(client: httpx.AsyncClient) -> None:
    asked: dict[str, Any] = {"input": "What is the weather in Rome?", "tools": [TOOL]}
    first = await respond(client, **asked, tool_choice="required")
    (call,) = first["output"]
    assert (call["type"], call["name"], call["status"]) == (
        "function_call",
        "get_weather",
        "completed",
    )
    assert set(json.loads(call["arguments"])) == {"city"}
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    rest: dict[str, Any] = {"tools": [TOOL], "tool_choice": "none"}
    second = await respond(client, **rest, input=[result], previous_response_id=first["id"])
    assert [item["type"] for item in second["output"]] == ["message"]
    items = [{"role": "user", "content": asked["input"]}, call, result]
    again = await respond(client, **rest, input=items)
    assert plain(again["output"]) == plain(second["output"])
    assert again["usage"]["input_tokens"] == second["usage"]["input_tokens"]


@pytest.mark.parametrize(
    "fields",
    [
        {"input": "Hello!"},
        {"input": "Weather in Rome?", "tools": [TOOL], "tool_choice": "required"},
        {"input": "Hello!", "max_output_tokens": 3},
    ],
)
async def test_a_stream_says_what_a_plain_response_says(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    body = await respond(client, **fields)
    answer = await client.post(PATH, json=GREEDY | fields | {"stream": True})
    last = read_frames(answer.content)[-1]["response"]
    assert plain(last["output"]) == plain(body["output"])
    for name in ("status", "incomplete_details", "model", "tools", "tool_choice"):
        assert last[name] == body[name]
    assert last["usage"]["output_tokens"] == body["usage"]["output_tokens"]


async def test_a_schema_is_matched(client: httpx.AsyncClient) -> None:
    schema = TOOL["parameters"]
    text = {"format": {"type": "json_schema", "name": "city", "schema": schema, "strict": True}}
    body = await respond(client, input="Name a city.", text=text, max_output_tokens=60)
    assert set(json.loads(body["output"][0]["content"][0]["text"])) == {"city"}


async def test_scores_come_with_the_text(client: httpx.AsyncClient) -> None:
    body = await respond(
        client, input="Hello!", include=["message.output_text.logprobs"], top_logprobs=2
    )
    part = body["output"][0]["content"][0]
    shown = b"".join(bytes(score["bytes"]) for score in part["logprobs"])
    assert shown.decode().startswith(part["text"])
    assert all(len(score["top_logprobs"]) == 2 for score in part["logprobs"])


async def test_the_background_says_what_one_would_have_waited_for(
    client: httpx.AsyncClient,
) -> None:
    waited = await respond(client, input="Hello!")
    body = await respond(client, input="Hello!", background=True)
    while body["status"] in ("queued", "in_progress"):
        body = (await client.get(f"{PATH}/{body['id']}")).json()
    assert plain(body["output"]) == plain(waited["output"])
