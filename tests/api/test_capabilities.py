"""What a client can ask for, told by the server itself."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest_asyncio

from api.schemas.chat import ChatRequest
from backends.embedding import EmbeddingBackend
from backends.scripted import ScriptedBackend
from backends.scripted_embedding import ScriptedEmbedding
from core.lifecycle import LoadProgress
from tests.api.served import HELLO, Served, served
from tests.api.served_embedding import MODEL, served_embedding, served_over


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


async def test_no_endpoint_of_the_api_is_left_out(app: Served) -> None:
    """But those without a body of fields."""
    fields = (await app.client.get("/v1/capabilities")).json()["fields"]
    paths = (await app.client.get("/openapi.json")).json()["paths"]
    with_bodies = {path for path, told in paths.items() if "requestBody" in told.get("post", {})}
    assert fields.keys() == with_bodies


async def test_the_words_of_other_apis_are_told_of(app: Served) -> None:
    body = (await app.client.get("/v1/capabilities")).json()
    found = {
        (path, name): body["fields"][path][name]["support"]
        for path, name in (
            ("/v1/responses", "text"),
            ("/v1/responses", "metadata"),
            ("/v1/responses", "conversation"),
            ("/v1/messages", "max_tokens"),
            ("/v1/messages", "cache_control"),
            ("/v1/messages", "mcp_servers"),
            ("/tokenize", "prompt"),
            ("/tokenize", "chat_template"),
            ("/detokenize", "tokens"),
            ("/apply-template", "messages"),
            ("/apply-template", "temperature"),
        )
    }
    assert list(found.values()) == [
        *("honoured", "unused", "idle", "honoured", "unused", "idle"),
        *("honoured", "idle", "honoured", "honoured", "unused"),
    ]
    assert body["limits"]["response_items"] == 10_000
    assert body["limits"]["embedding_inputs"] == 2048


async def test_fields_that_change_no_prompt_change_none(app: Served) -> None:
    """What is told to be without use there is so, and what is told to be honoured is not."""
    chat = {"messages": HELLO}
    for path in ("/apply-template", "/tokenize", "/v1/chat/completions/render"):
        plain = (await app.client.post(path, json=chat)).json()
        unused = {"temperature": 0.5, "max_tokens": 3, "stop": "x", "seed": 1, "n": 2}
        assert (await app.client.post(path, json=chat | unused)).json() == plain
        used = {"add_generation_prompt": False}
        assert (await app.client.post(path, json=chat | used)).json() != plain


async def test_without_an_embedding_model_its_fields_are_refused_here_and_there(
    app: Served,
) -> None:
    body = (await app.client.get("/v1/capabilities")).json()
    assert body["embedding"] is None
    for path in ("/v1/embeddings", "/v1/rerank", "/v1/score"):
        assert {each["support"] for each in body["fields"][path].values()} == {"refused"}
    response = await app.client.post("/v1/embeddings", json={"input": "hi"})
    assert response.status_code == 400


async def test_the_embedding_model_is_told_of() -> None:
    async with served_embedding(ScriptedEmbedding()) as app:
        body = (await app.client.get("/v1/capabilities")).json()
    assert body["embedding"]["model"] == MODEL
    assert body["embedding"]["state"] == "ready"
    assert body["embedding"]["dimensions"] >= 1
    fields = body["fields"]["/v1/embeddings"]
    assert (fields["input"]["support"], fields["padding"]["support"]) == ("honoured", "idle")


async def test_an_embedding_model_that_loads_is_told_of() -> None:
    never = asyncio.Event()

    async def opens_never(_: Callable[[LoadProgress], None]) -> EmbeddingBackend:
        await never.wait()
        return ScriptedEmbedding()

    async with served_over(opens_never) as app:
        body = (await app.client.get("/v1/capabilities")).json()
    assert body["embedding"]["state"] == "loading"
    assert body["embedding"]["dimensions"] is None
