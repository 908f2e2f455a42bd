"""POST /v1/embeddings: OpenAI's shape, and for every other input an error before any work."""

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio
from openai import APIStatusError, AsyncOpenAI
from openai.types import CreateEmbeddingResponse, Model

from backends.embedding import EmbeddingBackend
from backends.scripted_embedding import BEGIN_ID, SEPARATOR_ID, ScriptedEmbedding
from core.errors import ModelLoadError
from core.lifecycle import EngineState, LoadProgress
from tests.api.reply_lines import reply_lines
from tests.api.served import HELLO, error_of
from tests.api.served_embedding import (
    MODEL,
    Running,
    ServedEmbedding,
    served_embedding,
    served_over,
)

NUM_SPECIAL = 2


# One application for all tests that leave it as it was: starting one takes longer than they do.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[Running]:
    backend = ScriptedEmbedding()
    async with served_embedding(backend, JARVIS_EMBEDDING_ALIASES="text-embedding-3-small") as app:
        yield Running(app, backend)


@pytest.fixture
def app(running: Running) -> ServedEmbedding:
    return running.app


@pytest.fixture
def backend(running: Running) -> ScriptedEmbedding:
    running.backend.calls.clear()
    return running.backend


@pytest_asyncio.fixture(loop_scope="module")
async def openai(app: ServedEmbedding) -> AsyncIterator[AsyncOpenAI]:
    url = f"{app.client.base_url}/v1"
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


async def test_the_body_is_openais_and_nothing_else(app: ServedEmbedding) -> None:
    body = (await app.embed(["one", "three"], model=MODEL)).json()
    parsed = CreateEmbeddingResponse.model_validate(body, strict=True)
    assert parsed.to_dict() == body
    assert set(body) == {"object", "data", "model", "usage"}
    assert [set(each) for each in body["data"]] == [{"object", "index", "embedding"}] * 2
    assert [each.index for each in parsed.data] == [0, 1]
    assert parsed.model == MODEL
    num_tokens = len("onethree") + 2 * NUM_SPECIAL
    assert (parsed.usage.prompt_tokens, parsed.usage.total_tokens) == (num_tokens, num_tokens)


@pytest.mark.parametrize("model", [MODEL, "text-embedding-3-small"])
async def test_openais_client_asks_for_base64_and_gets_the_same_numbers(
    openai: AsyncOpenAI, app: ServedEmbedding, model: str
) -> None:
    by_default = await openai.embeddings.create(model=model, input=["one", "three"])
    as_floats = await openai.embeddings.create(
        model=model, input=["one", "three"], encoding_format="float"
    )
    raw = (await app.embed(["one", "three"], encoding_format="base64")).json()["data"]
    for index in range(2):
        assert by_default.data[index].embedding == as_floats.data[index].embedding
        decoded = np.frombuffer(base64.b64decode(raw[index]["embedding"]), "<f4")
        np.testing.assert_array_equal(
            decoded, np.array(as_floats.data[index].embedding, np.float32)
        )
    assert np.linalg.norm(by_default.data[1].embedding) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "value",
    [
        "one",
        ["one"],
        [BEGIN_ID, *b"one", SEPARATOR_ID],
        [[BEGIN_ID, *b"one", SEPARATOR_ID]],
    ],
    ids=["text", "texts", "ids", "lists of ids"],
)
async def test_each_kind_of_input_gives_the_same_vector(
    openai: AsyncOpenAI, app: ServedEmbedding, value: Any
) -> None:
    found = await openai.embeddings.create(model=MODEL, input=value)
    assert found.usage.prompt_tokens == 5
    wanted = (await app.embed("one")).json()["data"]
    assert [each.embedding for each in found.data] == [wanted[0]["embedding"]]


async def test_dimensions_are_honoured(openai: AsyncOpenAI) -> None:
    found = await openai.embeddings.create(model=MODEL, input="pqrs", dimensions=4)
    assert len(found.data[0].embedding) == 4
    assert np.linalg.norm(found.data[0].embedding) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [256, 2048])
async def test_a_batch_keeps_its_order(
    app: ServedEmbedding, backend: ScriptedEmbedding, count: int
) -> None:
    texts = [f"text {index}" for index in range(count)]
    body = (await app.embed(texts)).json()
    assert [each["index"] for each in body["data"]] == list(range(count))
    alone = (await app.embed(texts[200])).json()["data"][0]["embedding"]
    assert body["data"][200]["embedding"] == alone
    assert len(backend.calls[0]) == count


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": ["a", [1]]}, "input"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [1, [2]]}, "input"),
        ({"input": [[[1]]]}, "input"),
        ({"input": [[1, True]]}, "input"),
        ({"input": [1.5]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": [[5, -1]]}, "input"),
        ({"input": [SEPARATOR_ID + 1]}, "input"),
        ({"input": [2**31]}, "input"),
        ({"input": [10**40]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": 7}, "input"),
        ({"input": True}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "x" * 63}, "input"),
        ({"input": [1] * 65}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"encoding_format": 1}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": -1}, "dimensions"),
        ({"dimensions": 17}, "dimensions"),
        ({"dimensions": 2**70}, "dimensions"),
        ({"dimensions": 1.5}, "dimensions"),
        ({"dimensions": "4"}, "dimensions"),
        ({"dimensions": True}, "dimensions"),
        ({"model": 5}, "model"),
        ({"user": ["x"]}, "user"),
        ({"inputs": "a"}, "inputs"),
        ({"messages": HELLO}, "messages"),
        ({"truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
        ({"truncation_side": "left"}, "truncation_side"),
        ({"add_special_tokens": False}, "add_special_tokens"),
        ({"use_activation": False}, "use_activation"),
        ({"embed_dtype": "float16"}, "embed_dtype"),
        ({"endianness": "big"}, "endianness"),
        ({"priority": 1}, "priority"),
        ({"cache_salt": "x"}, "cache_salt"),
    ],
)
async def test_what_can_not_be_honoured_is_refused_before_any_work(
    app: ServedEmbedding, backend: ScriptedEmbedding, fields: dict[str, Any], param: str
) -> None:
    refused = await app.client.post("/v1/embeddings", json={"input": "a"} | fields)
    assert refused.status_code == 400, refused.text
    error = error_of(refused)
    assert error["param"] == param
    assert len(error["message"]) < 400
    assert backend.calls == []


@pytest.mark.parametrize(
    "content",
    [
        b'{"input": NaN}',
        b'{"input": [1, Infinity]}',
        b'{"input": "\\ud800"}',
        b'{"input": "\xff"}',
        b'["a"]',
        b"{}",
        b"",
        b'{"input": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"input": [' + b"1," * 10**6 + b"1]}",
        b'{"input": [' + b'"a",' * 10**6 + b'"a"]}',
        b'{"input": [' + b"[1]," * 10**5 + b"[1]]}",
    ],
    ids=lambda content: content[:16].decode("latin-1"),
)
async def test_hostile_bodies_are_refused_before_any_work(
    app: ServedEmbedding, backend: ScriptedEmbedding, content: bytes
) -> None:
    headers = {"content-type": "application/json"}
    refused = await app.client.post("/v1/embeddings", content=content, headers=headers)
    assert refused.status_code == 400
    assert len(error_of(refused)["message"]) < 400
    assert backend.calls == []


async def test_what_asks_for_nothing_is_accepted(app: ServedEmbedding) -> None:
    idle = {"add_special_tokens": True, "priority": 0, "embed_dtype": "float32", "user": "me"}
    nulls = {"truncate_prompt_tokens": None, "dimensions": None, "encoding_format": None}
    answered = await app.embed("a", **idle, **nulls)
    assert answered.status_code == 200, answered.text


async def test_a_long_input_is_refused_with_index_and_numbers_and_never_cut(
    openai: AsyncOpenAI,
) -> None:
    with pytest.raises(APIStatusError) as caught:
        await openai.embeddings.create(model=MODEL, input=["a", "x" * 100])
    assert caught.value.status_code == 400
    assert caught.value.code == "context_length_exceeded"
    assert "input[1] has 102 tokens" in caught.value.message
    assert "64" in caught.value.message


async def test_the_chat_models_name_is_told_apart(app: ServedEmbedding) -> None:
    refused = await app.embed("a", model="jarvis-tiny")
    assert refused.status_code == 400
    assert "JARVIS_EMBEDDING_MODEL" in error_of(refused)["message"]
    assert error_of(refused)["param"] == "model"


async def test_another_name_is_not_found(app: ServedEmbedding) -> None:
    refused = await app.embed("a", model="other")
    assert refused.status_code == 404
    assert error_of(refused)["code"] == "model_not_found"
    assert MODEL in error_of(refused)["message"]


async def test_any_name_is_accepted_where_the_aliases_say_so() -> None:
    async with served_embedding(ScriptedEmbedding(), JARVIS_EMBEDDING_ALIASES="*") as app:
        assert (await app.embed("a", model="whatever")).json()["model"] == MODEL


async def test_the_embedding_model_answers_no_chats(app: ServedEmbedding) -> None:
    body = {"messages": HELLO, "model": MODEL}
    assert (await app.client.post("/v1/chat/completions", json=body)).status_code == 404


async def test_both_models_are_listed_with_their_context_lengths(openai: AsyncOpenAI) -> None:
    models = {model.id: model async for model in openai.models.list()}
    assert list(models) == ["jarvis-tiny", MODEL, "text-embedding-3-small"]
    lengths = {name: model.to_dict()["max_model_len"] for name, model in models.items()}
    assert lengths == {"jarvis-tiny": 4096, MODEL: 64, "text-embedding-3-small": 64}
    mini = await openai.models.retrieve(MODEL)
    assert isinstance(mini, Model)
    assert mini.to_dict()["meta"] == {"n_ctx": 64, "n_vocab": 258, "n_embd": 16}
    chat = await openai.models.retrieve("jarvis-tiny")
    assert chat.to_dict()["chat_format"] == "chatml"
    with pytest.raises(APIStatusError, match="served: jarvis-tiny, mini"):
        await openai.models.retrieve("other")


async def test_unknown_fields_may_be_ignored_and_are_named() -> None:
    async with served_embedding(ScriptedEmbedding(), JARVIS_STRICT_FIELDS="false") as app:
        answered = await app.embed("a", inputs="b")
        assert answered.status_code == 200
        assert answered.headers["x-jarvis-ignored"] == "inputs"


async def test_one_line_is_logged_without_any_text(
    app: ServedEmbedding, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="api")
    await app.embed(["secret", "words"])
    (line,) = reply_lines(caplog)
    assert "path=/v1/embeddings " in line
    assert "outcome=done choices=2 prompt_tokens=15 " in line
    assert "secret" not in line


async def test_the_document_describes_the_bodies(app: ServedEmbedding) -> None:
    document = (await app.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert {"EmbeddingRequest", "RerankRequest", "ScoreRequest"} <= set(schemas)
    assert {"/v1/embeddings", "/v1/rerank", "/v1/score"} <= set(document["paths"])


async def test_a_client_that_goes_ends_the_engines_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="api")
    reached = asyncio.Event()

    def gate() -> asyncio.Future[None]:
        reached.set()
        return asyncio.get_running_loop().create_future()

    backend = ScriptedEmbedding(gate=gate)
    async with served_embedding(backend) as app:
        call = asyncio.create_task(app.embed("a"))
        await reached.wait()
        assert backend.num_live == 1
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        while backend.num_live or not any("outcome=gone" in line for line in reply_lines(caplog)):
            await asyncio.sleep(0)


async def test_an_engine_that_fails_is_a_500_and_the_next_call_a_503() -> None:
    backend = ScriptedEmbedding(transform=lambda vector: vector * np.nan)
    async with served_embedding(backend) as app:
        assert error_of(failed := await app.embed("a"))["code"] == "engine_failed"
        assert failed.status_code == 500
        backend.fail("the engine died")
        await app.until(EngineState.FAILED)
        refused = await app.embed("a")
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert "the engine died" in error_of(refused)["message"]


async def test_a_model_that_can_not_load_is_told_in_health_and_stops_no_chat() -> None:
    async def open_backend(_: Callable[[LoadProgress], None]) -> EmbeddingBackend:
        raise ModelLoadError("there is no such file")

    async with served_over(open_backend) as app:
        await app.until(EngineState.FAILED)
        ready = await app.client.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["embedding"] == {
            "state": "failed",
            "engine": "llama_cpp",
            "progress": None,
            "reason": "there is no such file",
        }
        refused = await app.embed("a")
        assert refused.status_code == 503
        assert "there is no such file" in error_of(refused)["message"]
        body = {"messages": HELLO, "max_tokens": 2}
        assert (await app.client.post("/v1/chat/completions", json=body)).status_code == 200


async def test_a_model_that_still_loads_is_told_in_health() -> None:
    async def open_backend(report: Callable[[LoadProgress], None]) -> EmbeddingBackend:
        report(LoadProgress("reading", 0.5))
        await asyncio.get_running_loop().create_future()
        raise AssertionError("never resolved")

    async with served_over(open_backend) as app:
        state = (await app.client.get("/health/ready")).json()["embedding"]
        assert (state["state"], state["progress"]["fraction"]) == ("loading", 0.5)
        assert (await app.embed("a")).status_code == 503
        assert [each["id"] for each in (await app.client.get("/v1/models")).json()["data"]] == [
            "jarvis-tiny",
            MODEL,
        ]


async def test_bodies_are_json_alone(app: ServedEmbedding) -> None:
    content = json.dumps({"input": "a"})
    refused = await app.client.post(
        "/v1/embeddings", content=content, headers={"content-type": "text/plain"}
    )
    assert refused.status_code == 415
    assert isinstance(refused, httpx.Response)
