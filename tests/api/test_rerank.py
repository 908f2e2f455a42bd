"""POST /v1/rerank and /v1/score: relevance and likeness, and what is said where they can't be."""

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from backends.scripted import ScriptedBackend
from backends.scripted_embedding import ByteEncoder, ScriptedEmbedding, shared_letters
from tests.api.served import error_of, served
from tests.api.served_embedding import MODEL, Running, ServedEmbedding, served_embedding
from tests.script import counting

DOCUMENTS = ["xyz", "abcd", "abce", "a"]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=[False, True], ids=["vectors", "ranks pairs"]
)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    backend = ScriptedEmbedding(ranks_pairs=request.param)
    async with served_embedding(backend) as app:
        yield Running(app, backend)


@pytest.fixture
def app(running: Running) -> ServedEmbedding:
    return running.app


@pytest.fixture
def backend(running: Running) -> ScriptedEmbedding:
    running.backend.calls.clear()
    return running.backend


async def test_documents_come_back_the_best_first(app: ServedEmbedding) -> None:
    body = (await app.rerank("abcd", DOCUMENTS, model=MODEL)).json()
    assert set(body) == {"id", "model", "results", "usage"}
    assert body["model"] == MODEL
    assert [each["index"] for each in body["results"]] == [1, 2, 3, 0]
    scores = [each["relevance_score"] for each in body["results"]]
    assert scores == sorted(scores, reverse=True)
    assert [each["document"]["text"] for each in body["results"]] == [
        DOCUMENTS[each["index"]] for each in body["results"]
    ]
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(("top_n", "count"), [(1, 1), (3, 3), (4, 4), (100, 4), (0, 4), (None, 4)])
async def test_so_many_of_the_best_are_given(
    app: ServedEmbedding, top_n: int | None, count: int
) -> None:
    body = (await app.rerank("abcd", DOCUMENTS, top_n=top_n, return_documents=False)).json()
    assert [each["index"] for each in body["results"]] == [1, 2, 3, 0][:count]
    assert all(set(each) == {"index", "relevance_score"} for each in body["results"])


async def test_documents_may_be_objects(app: ServedEmbedding) -> None:
    plain = (await app.rerank("abcd", DOCUMENTS)).json()["results"]
    objects = [{"text": text} for text in DOCUMENTS]
    assert (await app.rerank("abcd", objects)).json()["results"] == plain


async def test_of_equal_documents_the_first_comes_first(app: ServedEmbedding) -> None:
    body = (await app.rerank("abc", ["x", "abc", "abc", "x"])).json()
    assert [each["index"] for each in body["results"]] == [1, 2, 0, 3]


async def test_a_cross_encoders_relevance_is_the_sigmoid_of_its_score() -> None:
    async with served_embedding(ScriptedEmbedding(ranks_pairs=True)) as app:
        results = (await app.rerank("abcd", ["abcd"])).json()["results"]
        logit = shared_letters(ByteEncoder().encode_pair("abcd", "abcd"))
        assert results[0]["relevance_score"] == pytest.approx(1 / (1 + np.exp(-logit)))
        scored = (await app.score("abcd", "abcd")).json()["data"]
        assert scored[0]["score"] == results[0]["relevance_score"]
        refused = await app.embed("a")
        assert refused.status_code == 400
        assert "/v1/rerank" in error_of(refused)["message"]


async def test_an_embedding_models_relevance_is_the_cosine() -> None:
    async with served_embedding(ScriptedEmbedding()) as app:
        texts = ["abcd", "xy"]
        vectors = [each["embedding"] for each in (await app.embed(texts)).json()["data"]]
        results = (await app.rerank(*[texts[0], texts[1:]])).json()["results"]
        assert results[0]["relevance_score"] == pytest.approx(float(np.dot(*vectors)), abs=1e-6)


@pytest.mark.parametrize(
    ("text_1", "text_2", "count"),
    [
        ("abcd", "abcd", 1),
        ("abcd", ["abcd"], 1),
        ("abcd", ["abcd", "x", "y"], 3),
        (["abcd"], ["abcd", "x"], 2),
        (["abcd", "x"], ["abcd", "y"], 2),
    ],
)
async def test_pairs_are_scored_in_order(
    app: ServedEmbedding, text_1: Any, text_2: Any, count: int
) -> None:
    body = (await app.score(text_1, text_2)).json()
    assert set(body) == {"id", "object", "created", "model", "data", "usage"}
    assert [each["index"] for each in body["data"]] == list(range(count))
    assert {each["object"] for each in body["data"]} == {"score"}
    scores = [each["score"] for each in body["data"]]
    assert scores[0] == max(scores)


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/rerank", {"query": ""}, "query"),
        ("/v1/rerank", {"query": ["a"]}, "query"),
        ("/v1/rerank", {"query": None}, "query"),
        ("/v1/rerank", {"documents": []}, "documents"),
        ("/v1/rerank", {"documents": "abc"}, "documents"),
        ("/v1/rerank", {"documents": ["a", ""]}, "documents"),
        ("/v1/rerank", {"documents": ["a", 5]}, "documents"),
        ("/v1/rerank", {"documents": [["a"]]}, "documents"),
        ("/v1/rerank", {"documents": [{"text": 5}]}, "documents"),
        ("/v1/rerank", {"documents": [{"text": "a", "image": "b"}]}, "documents"),
        ("/v1/rerank", {"documents": [{"content": []}]}, "documents"),
        ("/v1/rerank", {"documents": ["a"] * 2049}, "documents"),
        ("/v1/rerank", {"documents": ["a"] * 10**6}, "documents"),
        ("/v1/rerank", {"documents": ["x" * 100]}, "documents"),
        ("/v1/rerank", {"top_n": -1}, "top_n"),
        ("/v1/rerank", {"top_n": 1.5}, "top_n"),
        ("/v1/rerank", {"return_documents": 1}, "return_documents"),
        ("/v1/rerank", {"max_tokens_per_doc": 10}, "max_tokens_per_doc"),
        ("/v1/rerank", {"truncate_prompt_tokens": 10}, "truncate_prompt_tokens"),
        ("/v1/rerank", {"instruction": "find"}, "instruction"),
        ("/v1/rerank", {"rank_fields": ["title"]}, "rank_fields"),
        ("/v1/rerank", {"extra": 1}, "extra"),
        ("/v1/score", {"text_1": ["a", "b", "c"]}, "text_1"),
        ("/v1/score", {"text_1": []}, "text_1"),
        ("/v1/score", {"text_1": [""]}, "text_1"),
        ("/v1/score", {"text_1": {"content": []}}, "text_1"),
        ("/v1/score", {"text_2": [1, 2]}, "text_2"),
        ("/v1/score", {"text_2": None}, "text_2"),
        ("/v1/score", {"queries": "a"}, "queries"),
        ("/v1/score", {"use_activation": False}, "use_activation"),
    ],
)
async def test_what_can_not_be_honoured_is_refused_before_any_work(
    app: ServedEmbedding,
    backend: ScriptedEmbedding,
    path: str,
    fields: dict[str, Any],
    param: str,
) -> None:
    plain: dict[str, dict[str, Any]] = {
        "/v1/rerank": {"query": "a", "documents": ["b"]},
        "/v1/score": {"text_1": "a", "text_2": ["b", "c"]},
    }
    refused = await app.client.post(path, json=plain[path] | fields)
    assert refused.status_code == 400, refused.text
    assert error_of(refused)["param"] == param
    assert len(error_of(refused)["message"]) < 400
    assert backend.calls == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": "a"}),
        ("/v1/rerank", {"query": "a", "documents": ["b"]}),
        ("/v1/score", {"text_1": "a", "text_2": "b"}),
    ],
)
@pytest.mark.parametrize("model", [None, "jarvis-tiny", "other"])
async def test_without_an_embedding_model_the_setting_is_named(
    path: str, body: dict[str, Any], model: str | None
) -> None:
    async with served(ScriptedBackend(counting)) as app:
        refused = await app.client.post(path, json=body | {"model": model})
        assert refused.status_code == 400
        assert "JARVIS_EMBEDDING_MODEL" in error_of(refused)["message"]
        assert "embedding" not in (await app.client.get("/health/ready")).json()


async def test_the_chat_models_name_is_told_apart(app: ServedEmbedding) -> None:
    for refused in (
        await app.rerank("a", ["b"], model="jarvis-tiny"),
        await app.score("a", "b", model="jarvis-tiny"),
    ):
        assert refused.status_code == 400
        assert "JARVIS_EMBEDDING_MODEL" in error_of(refused)["message"]
