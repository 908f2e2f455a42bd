"""Scores in every form of the API: whole and streamed say the same."""

import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, ClassVar

import httpx
import pytest
import pytest_asyncio

from api.logprobs import CompletionLogprobs
from backends.base import ModelCard
from backends.scripted import END_ID, ScriptedBackend, byte_vocabulary
from core.scores import ScoredToken
from core.vocabulary import Vocabulary
from tests.api.served import HELLO, Served, error_of, served

TEXT = "aé"


@pytest_asyncio.fixture
async def app() -> AsyncIterator[Served]:
    async with served(ScriptedBackend(lambda _: [*TEXT.encode(), END_ID])) as opened:
        yield opened


def choice_of(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    choice: dict[str, Any] = response.json()["choices"][0]
    return choice


async def chunks_of(app: Served, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    response = await app.client.post(path, json=body | {"stream": True})
    assert response.status_code == 200, response.text
    lines = [line for line in response.text.split("\n") if line.startswith("data: {")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


async def test_a_chat_shows_each_token_with_its_bytes(app: Served) -> None:
    choice = choice_of(await app.chat(logprobs=True, top_logprobs=2))
    content = choice["logprobs"]["content"]
    assert choice["logprobs"]["refusal"] is None
    assert [token["bytes"] for token in content] == [[byte] for byte in TEXT.encode()]
    assert [token["token"] for token in content] == ["a", "\ufffd", "\ufffd"]
    assert content[0]["logprob"] == -2.0
    assert content[0]["top_logprobs"] == [
        {"token": "b", "logprob": -1.0, "bytes": [98]},
        {"token": "a", "logprob": -2.0, "bytes": [97]},
    ]


async def test_logprobs_without_top_ones_show_the_tokens_alone(app: Served) -> None:
    content = choice_of(await app.chat(logprobs=True))["logprobs"]["content"]
    assert [token["top_logprobs"] for token in content] == [[], [], []]
    assert choice_of(await app.chat())["logprobs"] is None


async def test_a_completion_shows_offsets_and_the_token_among_its_top_ones(app: Served) -> None:
    logprobs = choice_of(await app.complete(logprobs=1))["logprobs"]
    assert logprobs["tokens"] == ["a", "\ufffd", "\ufffd"]
    assert logprobs["token_logprobs"] == [-2.0, -2.0, -2.0]
    assert logprobs["text_offset"] == [0, 1, 1]
    assert logprobs["top_logprobs"][0] == {"b": -1.0, "a": -2.0}


async def test_an_echo_stands_before_the_answer_with_its_scores(app: Served) -> None:
    choice = choice_of(await app.complete(prompt="xyz", echo=True, logprobs=0))
    assert choice["text"] == "xyz" + TEXT
    logprobs = choice["logprobs"]
    assert logprobs["tokens"] == ["x", "y", "z", "a", "\ufffd", "\ufffd"]
    assert logprobs["token_logprobs"] == [None, -2.0, -2.0, -2.0, -2.0, -2.0]
    assert logprobs["top_logprobs"][:2] == [None, {"y": -2.0}]
    assert logprobs["text_offset"] == [0, 1, 2, 3, 4, 4]


async def test_an_echo_of_no_answer_scores_the_prompt_alone(app: Served) -> None:
    body = (await app.complete(prompt="xyz", echo=True, logprobs=1, max_tokens=0)).json()
    choice = body["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("xyz", "length")
    assert choice["logprobs"]["tokens"] == ["x", "y", "z"]
    assert body["usage"]["completion_tokens"] == 0
    refused = await app.complete(max_tokens=0)
    assert "at least 1, or 0 with echo" in refused.json()["error"]["message"]


async def test_prompt_logprobs_stand_where_vllm_has_them(app: Served) -> None:
    chat = (await app.chat(prompt_logprobs=0, n=2)).json()
    first, second, *_ = chat["prompt_logprobs"]
    assert first is None
    (shown,) = second.values()
    assert shown == {"logprob": -2.0, "rank": 2, "decoded_token": "u"}
    body = (await app.complete(prompt=["xyz", "q"], prompt_logprobs=1)).json()
    of_xyz, of_q = (choice["prompt_logprobs"] for choice in body["choices"])
    assert of_xyz[1] == {
        "122": {"logprob": -1.0, "rank": 1, "decoded_token": "z"},
        "121": {"logprob": -2.0, "rank": 2, "decoded_token": "y"},
    }
    assert of_q == [None]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {"logprobs": True, "top_logprobs": 3}),
        ("/v1/chat/completions", {"prompt_logprobs": 2, "n": 2}),
        ("/v1/completions", {"logprobs": 2, "echo": True, "n": 2}),
        ("/v1/completions", {"prompt_logprobs": 1, "stop": "\u00e9", "logprobs": 1}),
        ("/v1/completions", {"echo": True, "prompt": ["ab", "c"]}),
        ("/v1/completions", {"echo": True, "max_tokens": 0, "logprobs": 1, "prompt_logprobs": 2}),
    ],
)
async def test_a_stream_says_in_parts_what_a_plain_answer_says_at_once(
    app: Served, path: str, fields: dict[str, Any]
) -> None:
    own = {"messages": [{"role": "user", "content": "hi"}]} if "chat" in path else {"prompt": "hi"}
    body = own | fields
    whole = (await app.client.post(path, json=body)).json()
    chunks = await chunks_of(app, path, body)
    for choice in whole["choices"]:
        parts = [c for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        assert _text(parts) == _text([choice])
        assert _logprobs(parts) == _logprobs([choice])
        assert _prompt_logprobs(parts) == _prompt_logprobs([choice])
    found = [chunk["prompt_logprobs"] for chunk in chunks if "prompt_logprobs" in chunk]
    assert found == ([whole["prompt_logprobs"]] if "prompt_logprobs" in whole else [])


def _text(choices: list[dict[str, Any]]) -> str:
    found = [
        c.get("text") or (c.get("delta") or c.get("message") or {}).get("content") or ""
        for c in choices
    ]
    return "".join(found)


def _logprobs(choices: list[dict[str, Any]]) -> dict[str, list[Any]]:
    whole: dict[str, list[Any]] = {}
    for choice in choices:
        for name, values in (choice["logprobs"] or {}).items():
            whole.setdefault(name, []).extend(values or [])
    return whole


def _prompt_logprobs(choices: list[dict[str, Any]]) -> list[Any]:
    return [c["prompt_logprobs"] for c in choices if "prompt_logprobs" in c]


async def test_usage_may_stand_in_each_chunk(app: Served) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"prompt": "hi", "stream_options": options}
    chunks = await chunks_of(app, "/v1/completions", body)
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts)
    assert counts[-1] == len(TEXT.encode()) + 1
    assert {chunk["usage"]["prompt_tokens"] for chunk in chunks} == {2}
    assert all(chunk["system_fingerprint"].startswith("fp_") for chunk in chunks)


def test_what_a_tokenizer_put_before_the_prompt_has_no_place_in_the_text() -> None:
    vocabulary = replace(byte_vocabulary(), bos_id=END_ID)
    form = CompletionLogprobs(vocabulary, 0, shows_control=False)
    scores = [ScoredToken(token_id, -1.0, 1) for token_id in b"ab"]
    echo = form.of_prompt((END_ID, *b"ab"), scores, len("ab"))
    assert echo["text_offset"] == [0, 0, 1]
    assert form.of_answer([ScoredToken(99, -1.0, 1)])["text_offset"] == [2]


class SeeingVocabulary(Vocabulary):
    """Knows which threads spelled the letter a."""

    threads: ClassVar[set[int]] = set()

    def spelling(self, token_id: int) -> str:
        if token_id == ord("a"):
            SeeingVocabulary.threads.add(threading.get_ident())
        return Vocabulary.spelling(self, token_id)


class SeenBackend(ScriptedBackend):
    """Its card has such a vocabulary."""

    @property
    def card(self) -> ModelCard:
        card, plain = super().card, byte_vocabulary()
        fields = {name: getattr(plain, name) for name in Vocabulary.__dataclass_fields__}
        return replace(card, vocabulary=SeeingVocabulary(**fields))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO, "logprobs": True, "top_logprobs": 2}),
        ("/v1/completions", {"prompt": "hi", "logprobs": 2}),
        ("/v1/completions", {"prompt": "a" * 400, "prompt_logprobs": 2, "stream": True}),
        ("/v1/completions", {"prompt": "a" * 400, "logprobs": 2, "echo": True}),
    ],
)
async def test_many_scores_are_shown_beside_the_event_loop(path: str, body: dict[str, Any]) -> None:
    backend = SeenBackend(lambda _: [97] * 400)
    async with served(backend) as app:
        SeeingVocabulary.threads.clear()
        num_tokens = 400 if "stream" not in body else 1
        answer = await app.client.post(path, json=body | {"max_tokens": num_tokens})
    assert answer.status_code == 200, answer.text
    assert SeeingVocabulary.threads
    assert threading.get_ident() not in SeeingVocabulary.threads


async def test_more_scores_than_are_held_are_refused_before_any_work(app: Served) -> None:
    for fields in ({"max_tokens": 1000, "n": 128}, {"max_tokens": 100_000}):
        refused = await app.chat(logprobs=True, top_logprobs=20, **fields)
        assert refused.status_code == 400
    refused = await app.complete(prompt=["a" * 3000] * 100, prompt_logprobs=20)
    assert (refused.status_code, error_of(refused)["param"]) == (400, "prompt_logprobs")
    assert app.backend.requests == []
