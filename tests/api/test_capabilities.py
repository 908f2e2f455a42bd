"""What a client can ask for, told by the server itself."""

from collections.abc import AsyncIterator

import pytest_asyncio

from api.schemas.chat import ChatRequest
from backends.scripted import ScriptedBackend
from tests.api.served import Served, served


@pytest_asyncio.fixture
async def app() -> AsyncIterator[Served]:
    async with served(ScriptedBackend(lambda _: b"abc", context_window=200)) as opened:
        yield opened


async def test_each_field_of_each_endpoint_is_told_of(app: Served) -> None:
    body = (await app.client.get("/v1/capabilities")).json()
    chat = body["fields"]["/v1/chat/completions"]
    assert chat.keys() >= ChatRequest.model_fields.keys()
    assert chat["seed"] == {"support": "honoured", "reason": None}
    assert chat["user"]["support"] == "unused"
    assert chat["functions"]["support"] == "idle"
    completions = body["fields"]["/v1/completions"]
    assert completions["suffix"]["support"] == "refused"
    assert "infilling" in completions["suffix"]["reason"]


async def test_limits_defaults_and_order_are_those_in_force(app: Served) -> None:
    body = (await app.client.get("/v1/capabilities")).json()
    assert body["limits"]["context_window_tokens"] == 200
    assert body["limits"]["slots"] == 64
    assert body["limits"]["stop_strings"] == 16
    assert body["chat_format"]["name"] == "chatml"
    assert body["modalities"] == ["text"]
    assert body["sampling"]["order"][-5:] == ["temperature", "min_p", "top_k", "top_p", "seed"]
    assert body["sampling"]["defaults"]["temperature"] == {"value": 1.0, "origin": "standard"}
    answer = (await app.chat(max_tokens=1)).json()
    assert answer["system_fingerprint"] == body["system_fingerprint"]


async def test_what_is_refused_there_is_refused_here(app: Served) -> None:
    response = await app.complete(suffix="x")
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "suffix"
