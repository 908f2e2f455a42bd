"""Every answer to three hundred JSON Schemas validates, and is the same on both engines."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.parity.conftest import Pair
from tests.parity.schemas import schemas
from tests.serving.structure_walks import refuse_invalid

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

NUM_SCHEMAS = 300
AT_ONCE = 16
MOST_TOKENS = 800


async def answers(client: httpx.AsyncClient, made: list[dict[str, Any]]) -> list[dict[str, Any]]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int, schema: dict[str, Any]) -> dict[str, Any]:
        body = {
            "messages": [{"role": "user", "content": "Answer in JSON."}],
            # Greedily, a small model says the same again and again inside a string.
            "seed": seed,
            "frequency_penalty": 0.5,
            "max_tokens": MOST_TOKENS,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema},
            },
        }
        async with gate:
            response = await client.post("/v1/chat/completions", json=body)
        assert response.status_code == 200, (schema, response.text)
        choice: dict[str, Any] = response.json()["choices"][0]
        return choice

    return list(await asyncio.gather(*(one(*each) for each in enumerate(made))))


async def test_answers_validate_and_are_the_same(pairs: dict[str, Pair]) -> None:
    pair, made = pairs["chatml"], schemas(NUM_SCHEMAS, seed=4)
    ours, theirs = await answers(pair.llama, made), await answers(pair.vllm, made)
    for schema, left, right in zip(made, ours, theirs, strict=True):
        for choice in (left, right):
            assert choice["finish_reason"] == "stop", (schema, choice)
            refuse_invalid(schema, choice["message"]["content"])
        assert left == right, schema
