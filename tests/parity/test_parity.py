"""The promise: change the engine, and nothing that a client can see changes."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from tests.parity.conftest import Pair
from tests.parity.conversations import conversations, questions
from tests.parity.folding import stable

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

NUM_RENDERED = 510
NUM_ANSWERED = 40
AT_ONCE = 8
BAD_CHATS: tuple[Any, ...] = (
    {},
    {"messages": []},
    {"messages": "hello"},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "wizard", "content": "hi"}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
    {"messages": [{"role": "user", "content": "hi"}], "temperature": 3},
    {"messages": [{"role": "user", "content": "hi"}], "temperature": "warm"},
    {"messages": [{"role": "user", "content": "hi"}], "top_p": 0},
    {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 0},
    {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100_000},
    {"messages": [{"role": "user", "content": "hi"}], "n": 0},
    {"messages": [{"role": "user", "content": "hi"}], "priority": 2**31},
    {"messages": [{"role": "user", "content": "hi"}], "cache_salt": ""},
    {"messages": [{"role": "user", "content": "hi"}], "no_such_field": 1},
    {"messages": [{"role": "user", "content": "hi"}], "model": "gpt-unknown"},
    {"messages": [{"role": "user", "content": "hi " * 5000}]},
)
BAD_COMPLETIONS: tuple[Any, ...] = (
    {},
    {"prompt": ""},
    {"prompt": []},
    {"prompt": [[]]},
    {"prompt": [-1]},
    {"prompt": [10**9]},
    {"prompt": ["a"] * 1000},
    {"prompt": "a", "best_of": 5},
    {"prompt": ["a", "b"], "n": 65},
)


async def post(client: httpx.AsyncClient, path: str, body: Any) -> tuple[int, Any]:
    response = await client.post(path, json=body)
    return response.status_code, stable(response.json())


async def post_all(client: httpx.AsyncClient, path: str, bodies: Iterable[Any]) -> list[Any]:
    """All bodies, at most AT_ONCE of them under way, the answers in order."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(body: Any) -> tuple[int, Any]:
        async with gate:
            return await post(client, path, body)

    return list(await asyncio.gather(*map(one, bodies)))


async def compare(pair: Pair, path: str, bodies: list[Any]) -> list[Any]:
    """Sends the same to both engines, asserts equal answers, returns them."""
    ours, theirs = await asyncio.gather(
        post_all(pair.llama, path, bodies), post_all(pair.vllm, path, bodies)
    )
    for body, left, right in zip(bodies, ours, theirs, strict=True):
        assert left == right, body
    return ours


async def test_ids_of_generated_conversations_are_identical(pair: Pair) -> None:
    bodies = [{"messages": messages} for messages in conversations(NUM_RENDERED)]
    answers = await compare(pair, "/v1/chat/completions/render", bodies)
    assert {status for status, _ in answers} == {200}
    assert len({answer["ids_sha256"] for _, answer in answers}) == NUM_RENDERED


async def test_greedy_answers_are_identical(pair: Pair) -> None:
    bodies = [
        {"messages": messages, "temperature": 0, "max_tokens": 48}
        for messages in questions(NUM_ANSWERED)
    ]
    answers = await compare(pair, "/v1/chat/completions", bodies)
    assert {status for status, _ in answers} == {200}
    reasons = [answer["choices"][0]["finish_reason"] for _, answer in answers]
    assert reasons.count("stop") > NUM_ANSWERED / 2, "the shipped model ends its turns"


async def test_stop_strings_and_limits_cut_at_the_same_place(pair: Pair) -> None:
    bodies = [
        {"messages": messages, "temperature": 0, "max_tokens": limit, "stop": stop}
        for messages in questions(10)
        for limit, stop in ((5, None), (40, "a"), (40, [" is", "e."]), (1, ["x"]))
    ]
    await compare(pair, "/v1/chat/completions", bodies)


async def test_completions_are_identical(pair: Pair) -> None:
    prompts: list[Any] = ["Hello", ["The capital of", "Once"], [1, 2, 3], [[5, 6], [7]]]
    bodies = [{"prompt": prompt, "temperature": 0, "max_tokens": 24} for prompt in prompts]
    answers = await compare(pair, "/v1/completions", bodies)
    assert {status for status, _ in answers} == {200}


async def test_bad_requests_get_the_same_status_and_body(pair: Pair) -> None:
    chats = await compare(pair, "/v1/chat/completions", list(BAD_CHATS))
    completions = await compare(pair, "/v1/completions", list(BAD_COMPLETIONS))
    assert {status for status, _ in chats} <= {400, 404}
    assert {status for status, _ in completions} == {400}


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"messages": NaN}'])
async def test_bad_json_gets_the_same_status_and_body(pair: Pair, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    answers = [
        await client.post("/v1/chat/completions", content=content, headers=headers)
        for client in (pair.llama, pair.vllm)
    ]
    assert answers[0].status_code == answers[1].status_code == 400
    assert answers[0].json() == answers[1].json()


async def test_models_are_described_alike(pair: Pair) -> None:
    ours, theirs = [await c.get("/v1/models") for c in (pair.llama, pair.vllm)]
    assert stable(ours.json()) == stable(theirs.json())


@pytest.mark.parametrize("engine", ["llama", "vllm"])
async def test_the_joined_stream_is_the_plain_answer(pair: Pair, engine: str) -> None:
    client = pair.llama if engine == "llama" else pair.vllm
    for index, messages in enumerate(questions(8)):
        body = {"messages": messages, "temperature": 0, "max_tokens": 48, "n": 1 + index % 3}
        _, plain = await post(client, "/v1/chat/completions", body)
        assert await joined(client, body) == {
            "contents": {c["index"]: c["message"]["content"] for c in plain["choices"]},
            "finish_reasons": {c["index"]: c["finish_reason"] for c in plain["choices"]},
            "usage": plain["usage"],
        }


async def test_several_greedy_choices_are_identical(pair: Pair) -> None:
    bodies = [
        {"messages": messages, "temperature": 0, "max_tokens": 48, "n": 3}
        for messages in questions(8)
    ]
    answers = await compare(pair, "/v1/chat/completions", bodies)
    for _, answer in answers:
        assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
        assert len({choice["message"]["content"] for choice in answer["choices"]}) == 1
    streams = [await joined(client, bodies[0]) for client in (pair.llama, pair.vllm)]
    assert streams[0] == streams[1]
    assert len(streams[0]["contents"]) == 3


async def test_choices_of_several_prompts_are_identical(pair: Pair) -> None:
    body = {"prompt": ["Hello", "Once"], "n": 2, "temperature": 0, "max_tokens": 12}
    ((_, two),) = await compare(pair, "/v1/completions", [body])
    ((_, one),) = await compare(pair, "/v1/completions", [body | {"n": 1}])
    texts = [choice["text"] for choice in one["choices"]]
    assert [choice["text"] for choice in two["choices"]] == [t for t in texts for _ in range(2)]
    assert two["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert two["usage"]["completion_tokens"] == 2 * one["usage"]["completion_tokens"]


async def test_priority_and_salt_change_no_answer(pair: Pair) -> None:
    plain = {"messages": questions(1)[0], "temperature": 0, "max_tokens": 24}
    fields: tuple[dict[str, Any], ...] = (
        {},
        {"priority": -5},
        {"cache_salt": "a"},
        {"priority": 9, "cache_salt": "b"},
    )
    answers = await compare(pair, "/v1/chat/completions", [plain | each for each in fields])
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("engine", ["llama", "vllm"])
async def test_reused_tokens_are_told_and_fewer_than_the_prompts(pair: Pair, engine: str) -> None:
    client = pair.llama if engine == "llama" else pair.vllm
    body = {"messages": [{"role": "user", "content": "hi " * 200}], "max_tokens": 2, "n": 2}
    for salt in ("one", "two"):
        for _ in range(2):
            salted = body | {"cache_salt": salt + pair.chat_format}
            response = await client.post("/v1/chat/completions", json=salted)
            usage = response.json()["usage"]
            num_cached = usage["prompt_tokens_details"]["cached_tokens"]
            assert 0 <= num_cached < usage["prompt_tokens"]


async def joined(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    """A stream folded by hand, with the checks that hold for each of its chunks."""
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    contents: dict[int, str] = {}
    finishes: dict[int, str] = {}
    usage: dict[str, Any] | None = None
    async with client.stream("POST", "/v1/chat/completions", json=streamed) as response:
        assert response.status_code == 200
        lines = [line async for line in response.aiter_lines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    for chunk in (json.loads(line.removeprefix("data: ")) for line in lines[:-1]):
        assert chunk["object"] == "chat.completion.chunk"
        usage = chunk["usage"] or usage
        for choice in chunk["choices"]:
            index = choice["index"]
            assert index not in finishes, "nothing follows a choice's end"
            contents[index] = contents.get(index, "") + (choice["delta"].get("content") or "")
            if choice["finish_reason"] is not None:
                finishes[index] = choice["finish_reason"]
    return {"contents": contents, "finish_reasons": finishes, "usage": stable(usage)}
