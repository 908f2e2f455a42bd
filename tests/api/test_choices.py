"""Several choices a prompt, and what usage counts of them; how requests wait and reuse."""

import asyncio
import itertools
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from backends.base import TokenRequest
from backends.scripted import END_ID, ScriptedBackend
from tests.api.reply_lines import reply_lines
from tests.api.served import HELLO, error_of, served
from tests.api.streams import Gate, chunks_of

CACHED = 5


def numbered(num_tokens: int = 3) -> ScriptedBackend:
    """Each sequence says which one it is, in the order in which they began, and ends."""
    numbers = itertools.count()

    def script(_: TokenRequest) -> Iterator[int]:
        yield from str(next(numbers)).encode() * (num_tokens - 1)
        yield END_ID

    return ScriptedBackend(script, count_cached=lambda _: CACHED)


def endless(_: TokenRequest) -> Iterator[int]:
    return itertools.cycle(b"word ")


@pytest.mark.parametrize("is_stream", [False, True])
async def test_fields_reach_the_engine(is_stream: bool) -> None:
    backend = numbered()
    async with served(backend) as app:
        for ask in (app.chat, app.complete):
            await ask(priority=-7, cache_salt="mine", stream=is_stream, n=2)
            await ask(stream=is_stream, priority=None, cache_salt=None, n=None)
    asked = [(each.priority, each.cache_salt) for each in backend.requests]
    salts = {salt for _, salt in asked if salt is not None}
    assert len(salts) == 1
    salt = salts.pop()
    assert asked == [(-7, salt), (-7, salt), (0, None)] * 2
    assert "mine" not in salt
    assert len({each.id for each in backend.requests}) == len(asked)


@pytest.mark.parametrize("number", [-(2**31), 2**31 - 1])
async def test_the_bounds_of_priority_and_of_a_salt_are_allowed(number: int) -> None:
    async with served(numbered()) as app:
        assert (await app.chat(priority=number, cache_salt="ü" * 256)).status_code == 200


async def test_a_chat_has_as_many_choices_as_were_asked_for() -> None:
    backend = numbered()
    async with served(backend) as app:
        body = (await app.chat(n=3)).json()
        one = (await app.chat()).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert [choice["message"]["content"] for choice in body["choices"]] == ["00", "11", "22"]
    assert {choice["finish_reason"] for choice in body["choices"]} == {"stop"}
    prompts = {each.prompt_ids for each in backend.requests}
    assert prompts == {backend.requests[0].prompt_ids}
    assert body["usage"] == usage(one["usage"]["prompt_tokens"], 9, CACHED)
    assert one["usage"]["prompt_tokens"] == len(backend.requests[0].prompt_ids)


async def test_choices_of_several_prompts_stand_in_the_order_of_their_prompts() -> None:
    backend = numbered()
    async with served(backend) as app:
        body = (await app.complete(prompt=["a", "bc"], n=2)).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] for choice in body["choices"]] == ["00", "11", "22", "33"]
    prompts = [bytes(each.prompt_ids) for each in backend.requests]
    assert prompts == [b"a", b"a", b"bc", b"bc"]
    assert body["usage"] == usage(3, 12, 2 * CACHED)


def usage(num_prompt: int, num_completion: int, num_cached: int) -> dict[str, Any]:
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_completion,
        "total_tokens": num_prompt + num_completion,
        "prompt_tokens_details": {"cached_tokens": num_cached},
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HELLO, "n": 3}),
        ("/v1/completions", {"prompt": ["a", "b", "c"], "n": 2}),
    ],
)
async def test_streamed_choices_are_those_of_the_plain_answer(
    path: str, body: dict[str, Any]
) -> None:
    async with served(numbered()) as app:
        plain = (await app.client.post(path, json=body)).json()
    async with served(numbered()) as app:
        chunks = await chunks_of(app, path, body | {"stream_options": {"include_usage": True}})
    assert chunks[-1]["usage"] == plain["usage"]
    assert chunks[-1]["choices"] == []
    for expected in plain["choices"]:
        parts = [c for chunk in chunks for c in chunk["choices"] if c["index"] == expected["index"]]
        texts = [part["delta"].get("content", "") for part in parts if "delta" in part]
        texts += [part["text"] for part in parts if "text" in part]
        whole = expected["message"]["content"] if "message" in expected else expected["text"]
        assert "".join(texts) == whole
        assert [part["finish_reason"] for part in parts[:-1]] == [None] * (len(parts) - 1)
        assert parts[-1]["finish_reason"] == "stop", "its end comes last, and once"


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_client_that_goes_ends_all_choices(is_stream: bool) -> None:
    gate = Gate(num_open=8)
    backend = ScriptedBackend(endless, gate=gate.passed)
    async with served(backend) as app:
        asking = asyncio.create_task(app.chat(stream=is_stream, n=4, max_tokens=2000))
        await gate.is_waited_for.wait()
        assert backend.num_live == 4
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        while backend.num_live:
            gate.is_left.clear()
            await gate.is_left.wait()


async def test_a_choice_that_is_cut_short_is_logged_with_what_it_had(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="api")
    gate = Gate(num_open=8)
    backend = ScriptedBackend(endless, gate=gate.passed)
    async with served(backend) as app:
        streaming = asyncio.create_task(app.complete(stream=True, n=2, prompt="abc"))
        await gate.is_waited_for.wait()
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)
        await gate.is_left.wait()
    (line,) = reply_lines(caplog)
    assert "outcome=gone choices=2 prompt_tokens=3 completion_tokens=8 finish=-" in line


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"prompt": ["a", "b", "c"], "n": 43}, "n", "43 for 3 prompts, 129 choices in all"),
        ({"n": 129}, "n", "at most 128"),
        ({"best_of": 3, "n": 2}, "best_of", "allowed: 1 or 2 or null"),
        ({"best_of": 2}, "best_of", "allowed: 1 or null"),
        ({"best_of": "x" * 500, "n": "x" * 500}, "best_of", "allowed: 1 or null"),
    ],
)
async def test_too_many_choices_are_refused(fields: Any, param: str, words: str) -> None:
    async with served(numbered()) as app:
        response = await app.complete(**fields)
        assert response.status_code == 400
        assert error_of(response)["param"] == param
        assert words in error_of(response)["message"]


@pytest.mark.parametrize(
    "fields", [{"n": 2, "best_of": 2}, {"n": 2, "best_of": 1}, {"prompt": ["a", "b"], "n": 64}]
)
async def test_the_most_choices_and_the_best_of_all_are_allowed(fields: Any) -> None:
    async with served(numbered()) as app:
        assert (await app.complete(**fields)).status_code == 200


async def test_answers_have_the_types_of_the_openai_package() -> None:
    async with served(numbered()) as app:
        chat, completion = (await app.chat(n=2)).json(), (await app.complete(n=2)).json()
        chunks = await chunks_of(
            app,
            "/v1/chat/completions",
            {"messages": HELLO, "n": 2, "stream_options": {"include_usage": True}},
        )
    ChatCompletion.model_validate(chat, strict=False, extra="forbid")
    Completion.model_validate(completion, strict=False, extra="forbid")
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=False, extra="forbid")


async def test_the_openai_client_reads_choices_and_cached_tokens() -> None:
    async with (
        served(numbered()) as app,
        AsyncOpenAI(base_url=f"{app.client.base_url}/v1", api_key="x", max_retries=0) as client,
    ):
        messages: Any = HELLO
        answer = await client.chat.completions.create(model="", messages=messages, n=2)
        assert [choice.message.content for choice in answer.choices] == ["00", "11"]
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        assert answer.usage.prompt_tokens_details.cached_tokens == CACHED
