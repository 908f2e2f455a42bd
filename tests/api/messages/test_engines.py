"""Messages over both engines and the shipped model: the same bodies, events and counts."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.api.messages.anthropic_types import checked_count, checked_event, checked_message
from tests.api.messages.made_up import events_in
from tests.engines import Engine, serve

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

TOOL = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "strict": True,
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
QUESTION = [{"role": "user", "content": "What is the weather in Paris?"}]
CALL = {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Paris"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "rain"}
LOOP = [
    *QUESTION,
    {"role": "assistant", "content": [CALL]},
    {"role": "user", "content": [RESULT]},
]
FORCED = {"type": "tool", "name": "get_weather"}
BODIES: list[dict[str, Any]] = [
    {"messages": QUESTION},
    {"messages": QUESTION, "system": "Be short.", "stop_sequences": ["e"]},
    {"messages": [*QUESTION, {"role": "assistant", "content": "It is"}]},
    {"messages": QUESTION, "tools": [TOOL], "tool_choice": FORCED},
    {"messages": LOOP, "tools": [TOOL]},
    {"messages": QUESTION, "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    {"messages": QUESTION, "max_tokens": 100_000, "stop_sequences": [" "]},
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clients(llama: Engine, vllm: Engine) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        urls = [
            await stack.enter_async_context(serve(engine.backend, label, "chatml"))
            for engine, label in ((llama, "llama_cpp"), (vllm, "vllm"))
        ]
        yield [
            await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=120))
            for url in urls
        ]


async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    """A message less its ids and what was cached; its stream says the same."""
    body = {"max_tokens": 100, "temperature": 0} | body
    response = await client.post("/v1/messages", json=body)
    assert response.status_code == 200, response.text
    answer = checked_message(response.json())
    streaming = await client.post("/v1/messages", json=body | {"stream": True})
    events = [checked_event(event) for event in events_in(streaming.text)]
    assert _texts(events) == [_text(block) for block in answer["content"]]
    counted = await client.post("/v1/messages/count_tokens", json=_prompt(body))
    usage = answer.pop("usage")
    num_prompt = usage["input_tokens"] + usage["cache_read_input_tokens"]
    assert checked_count(counted.json()) == num_prompt
    del answer["id"]
    content = [{**block, "id": None} for block in answer.pop("content")]
    return {**answer, "content": content, "tokens": (num_prompt, usage["output_tokens"])}


def _prompt(body: dict[str, Any]) -> dict[str, Any]:
    names = ("messages", "system", "tools", "tool_choice", "output_config")
    return {name: body[name] for name in names if name in body}


def _texts(events: list[dict[str, Any]]) -> list[Any]:
    """What each block of a stream grew to."""
    found: list[str] = []
    for event in events:
        if event["type"] == "content_block_start":
            found.append("")
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            found[-1] += delta.get("text") or delta.get("partial_json") or ""
    starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    return [
        json.loads(text) if start["type"] == "tool_use" else text
        for start, text in zip(starts, found, strict=True)
    ]


def _text(block: dict[str, Any]) -> Any:
    return block["input"] if block["type"] == "tool_use" else block["text"]


@pytest.mark.parametrize("body", BODIES)
async def test_both_engines_say_the_same(
    clients: list[httpx.AsyncClient], body: dict[str, Any]
) -> None:
    ours, theirs = [await ask(client, body) for client in clients]
    assert ours == theirs


async def test_a_tool_that_must_be_called_is_called_with_input_that_fits(
    clients: list[httpx.AsyncClient],
) -> None:
    answer = await ask(clients[0], BODIES[3])
    (call,) = answer["content"]
    assert answer["stop_reason"] == "tool_use"
    assert call["name"] == "get_weather"
    assert set(call["input"]) == {"city"}


async def test_a_text_that_must_match_a_schema_does(clients: list[httpx.AsyncClient]) -> None:
    (block,) = (await ask(clients[0], BODIES[5]))["content"]
    assert json.loads(block["text"])["answer"] in ("yes", "no")


async def test_tokens_and_texts_are_those_of_both(clients: list[httpx.AsyncClient]) -> None:
    found = []
    for client in clients:
        ids = (await client.post("/tokenize", json={"prompt": "Grüße, world! 🦊"})).json()
        text = (await client.post("/detokenize", json={"tokens": ids["tokens"]})).json()
        prompt = (await client.post("/apply-template", json={"messages": QUESTION})).json()
        found.append((ids, text, prompt))
    assert found[0] == found[1]
    assert found[0][1]["prompt"].endswith("Grüße, world! 🦊")
