"""A call that is wanted comes, with arguments that its schema accepts: in every way of writing
calls, from a model that has learned few of them, the same on both engines."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.parity.conftest import Pair
from tests.parity.folding import stable
from tests.parity.schemas import schemas
from tests.serving.structure_walks import refuse_invalid

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

# Of so many requests in all, one in each way of writing calls.
SHARE = 50
AT_ONCE = 16
Request = dict[str, Any]


def parameters(schema: dict[str, Any]) -> dict[str, Any]:
    """An object that holds what the schema describes."""
    inner = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
    shared = {key: value for key, value in schema.items() if key not in inner}
    return {
        "type": "object",
        "properties": {"value": inner},
        "required": ["value"],
        "additionalProperties": False,
        **shared,
    }


def wanted(number: int, schema: dict[str, Any]) -> Request:
    """By turns: any tool, one by its name, and one that the model may call if it likes."""
    tools = [
        {"type": "function", "function": {"name": name, "strict": True, "parameters": given}}
        for name, given in (
            ("fill", parameters(schema)),
            ("other", {"type": "object", "properties": {"n": {"type": "integer"}}}),
        )
    ]
    choices: list[Any] = ["required", {"type": "function", "function": {"name": "fill"}}, "auto"]
    return {
        "messages": [{"role": "user", "content": "Fill the form."}],
        "seed": number,
        # Greedily, a small model says the same again and again inside a string.
        "frequency_penalty": 0.5,
        "max_tokens": 800,
        "tools": tools,
        "tool_choice": choices[number % 3],
        "parallel_tool_calls": False,
    }


async def answers(client: httpx.AsyncClient, made: list[Request]) -> list[dict[str, Any]]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(body: Request) -> dict[str, Any]:
        async with gate:
            response = await client.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, (body, response.text)
        choice: dict[str, Any] = stable(response.json()["choices"][0])
        return choice

    return list(await asyncio.gather(*map(one, made)))


def check(body: Request, choice: dict[str, Any]) -> None:
    calls = choice["message"].get("tool_calls", [])
    if body["tool_choice"] == "auto" and not calls:
        assert choice["message"]["content"] is not None
        return
    assert choice["finish_reason"] == "tool_calls", (body, choice)
    assert choice["message"]["content"] is None or body["tool_choice"] == "auto"
    (call,) = calls
    by_name = {t["function"]["name"]: t["function"]["parameters"] for t in body["tools"]}
    name = call["function"]["name"]
    assert name == "fill" or isinstance(body["tool_choice"], str)
    refuse_invalid(by_name[name], call["function"]["arguments"])
    assert isinstance(json.loads(call["function"]["arguments"]), dict)


FORMATS = ["chatml", "llama3", "mistral", "thinking", "fallback", "pythonic", "mistral_v11"]


@pytest.mark.parametrize("name", FORMATS)
async def test_forced_calls_can_not_fail(
    pairs: dict[str, Pair], name: str, num_requests: int
) -> None:
    num_tools = max(num_requests // SHARE, 6)
    made = [wanted(*each) for each in enumerate(schemas(num_tools, seed=8))]
    budget = {"thinking_token_budget": 8} if name == "thinking" else {}
    made = [body | budget for body in made]
    ours, theirs = await answers(pairs[name].llama, made), await answers(pairs[name].vllm, made)
    for body, left, right in zip(made, ours, theirs, strict=True):
        check(body, left)
        assert left == right, body
    assert sum(bool(each["message"].get("tool_calls")) for each in ours) >= 2 * num_tools // 3
