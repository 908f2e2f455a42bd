"""Calls and thoughts over HTTP: plain and streamed, in OpenAI's shapes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageToolCall

from backends.base import TokenRequest
from backends.scripted import END_ID, ScriptedBackend
from tests.api.served import HELLO, Served, error_of, served
from tests.api.streams import chunks_of
from tests.api.wire_types import assert_typed

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": CITY}}
ARGUMENTS = '{"city": "Zürich 🙂"}'
CALL = f'<tool_call>\n{{"name": "get_weather", "arguments": {ARGUMENTS}}}\n</tool_call>'
# What vLLM and llama-server tell beside OpenAI's fields.
EXTRAS = frozenset({"reasoning", "reasoning_content"})


def saying(text: str) -> ScriptedBackend:
    return ScriptedBackend(lambda _: [*text.encode(), END_ID])


async def both(app: Served, **fields: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The plain answer and the chunks of the streamed one, all held to the library's own types."""
    plain = await app.chat(**fields)
    assert plain.status_code == 200, plain.text
    body = plain.json()
    assert_typed(ChatCompletion, body, EXTRAS)
    wanted = {"messages": HELLO, "stream_options": {"include_usage": True}} | fields
    chunks = await chunks_of(app, "/v1/chat/completions", wanted)
    for chunk in chunks:
        assert_typed(ChatCompletionChunk, chunk, EXTRAS)
    return body, chunks


def deltas(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


async def test_a_call_is_told_plain_and_streamed() -> None:
    async with served(saying(f"I look.\n{CALL}")) as app:
        body, chunks = await both(app, tools=[WEATHER])
    choice = body["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "I look."
    assert call["function"] == {"name": "get_weather", "arguments": ARGUMENTS}
    said = deltas(chunks)
    assert "".join(delta.get("content") or "" for delta in said) == "I look."
    first, *others = [delta["tool_calls"][0] for delta in said if "tool_calls" in delta]
    assert first["function"] == {"name": "get_weather", "arguments": ""}
    assert first["id"].startswith("call_")
    assert first["type"] == "function"
    assert all(set(each) == {"index", "function"} for each in others)
    assert "".join(each["function"]["arguments"] for each in others) == ARGUMENTS
    assert len(others) > 3, "arguments come as they are made"
    assert chunks[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"] == body["usage"]


async def test_a_message_that_only_calls_has_no_content() -> None:
    async with served(saying(f"{CALL}\n{CALL}")) as app:
        body, chunks = await both(app, tools=[WEATHER])
    message = body["choices"][0]["message"]
    assert message["content"] is None
    ids = [call["id"] for call in message["tool_calls"]]
    assert len(set(ids)) == 2
    indexes = [each["index"] for d in deltas(chunks) for each in d.get("tool_calls", ())]
    assert indexes == sorted(indexes)
    assert set(indexes) == {0, 1}


@pytest.mark.parametrize("fields", [{"tools": [WEATHER], "tool_choice": "none"}, {}])
async def test_without_tools_to_call_all_is_text(fields: dict[str, Any]) -> None:
    async with served(saying(CALL)) as app:
        body, _ = await both(app, **fields)
    choice = body["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (CALL, "stop")
    assert "tool_calls" not in choice["message"]


async def test_tools_that_may_not_be_called_are_not_in_the_prompt() -> None:
    async with served(saying("x")) as app:
        shown = {"messages": HELLO, "tools": [WEATHER]}
        prompts = [
            (await app.client.post("/v1/chat/completions/render", json=shown | extra)).json()
            for extra in ({}, {"tool_choice": "none"}, {"tool_choice": "auto"})
        ]
    assert ["get_weather" in prompt["prompt"] for prompt in prompts] == [True, False, True]


async def test_an_answer_without_parallel_calls_holds_one() -> None:
    async with served(saying(f"{CALL}\n{CALL}")) as app:
        body, _ = await both(app, tools=[WEATHER], parallel_tool_calls=False)
    assert len(body["choices"][0]["message"]["tool_calls"]) == 1
    assert body["usage"]["completion_tokens"] == len(CALL.encode())


async def test_a_call_that_is_cut_short_says_so() -> None:
    async with served(saying(CALL)) as app:
        body, _ = await both(app, tools=[WEATHER], max_tokens=len(CALL) - 20)
    choice = body["choices"][0]
    assert choice["finish_reason"] == "length"
    (call,) = choice["message"]["tool_calls"]
    assert ARGUMENTS.startswith(call["function"]["arguments"])


async def test_calls_of_several_choices_have_ids_of_their_own() -> None:
    async with served(saying(f"{CALL}\n{CALL}")) as app:
        body, chunks = await both(app, tools=[WEATHER], n=3)
    ids = [call["id"] for each in body["choices"] for call in each["message"]["tool_calls"]]
    assert len(set(ids)) == 6
    for index in range(3):
        own = [c["delta"] for k in chunks for c in k["choices"] if c["index"] == index]
        calls = [call for delta in own for call in delta.get("tool_calls", ())]
        assert sum("id" in call for call in calls) == 2
        assert {call["index"] for call in calls} == {0, 1}


async def test_a_stop_string_in_arguments_ends_no_call() -> None:
    async with served(saying(f"{CALL}\nrich")) as app:
        body, chunks = await both(
            app, tools=[WEATHER], stop=["rich"], include_stop_str_in_output=True
        )
    choice = body["choices"][0]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == ARGUMENTS
    assert (choice["message"]["content"], choice["finish_reason"]) == ("rich", "tool_calls")
    assert "".join(delta.get("content") or "" for delta in deltas(chunks)) == "rich"


async def test_calls_and_their_results_go_back_into_the_prompt_with_their_ids() -> None:
    async with served(saying("ok")) as app:
        client = AsyncOpenAI(base_url=f"{app.client.base_url}/v1", api_key="none")
        call = ChatCompletionMessageToolCall.model_validate(
            {
                "id": "call_7",
                "type": "function",
                "function": {"name": "get_weather", "arguments": ARGUMENTS},
            }
        )
        history: list[Any] = [
            *HELLO,
            {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]},
            {"role": "tool", "tool_call_id": "call_7", "content": "22 degrees"},
        ]
        await client.chat.completions.create(model="", messages=history, tools=[WEATHER])  # type: ignore[list-item]
        await client.close()
    prompt = bytes(i for i in app.backend.requests[-1].prompt_ids if i < 256).decode()
    assert f'"arguments": {ARGUMENTS}' in prompt
    assert "<tool_response>\n22 degrees\n</tool_response>" in prompt


async def test_thoughts_are_told_apart_under_both_names() -> None:
    async with served(saying("<think>\nLet me see.\n</think>\n\nParis.")) as app:
        body, chunks = await both(app)
    message = body["choices"][0]["message"]
    assert message["content"] == "Paris."
    assert message["reasoning_content"] == message["reasoning"] == "Let me see."
    said = deltas(chunks)
    thought = "".join(delta.get("reasoning_content", "") for delta in said)
    assert thought == "Let me see."
    assert all(d.get("reasoning") == d.get("reasoning_content") for d in said)
    details = body["usage"]["completion_tokens_details"]
    # From the id that completes the opening to the one that completes the closing.
    assert details == {"reasoning_tokens": len(">\nLet me see.\n</think>")}
    assert chunks[-1]["usage"] == body["usage"]


def until_closed(request: TokenRequest) -> Iterator[int]:
    """Thinks without end until its block is closed."""
    prompt = bytes(each for each in request.prompt_ids if each < 256)
    if prompt.endswith(b"</think>\n\n"):
        return iter([*b"Paris.", END_ID])
    return iter(b"<think>" + b"hm " * 1000)


@pytest.mark.parametrize("name", ["thinking_token_budget", "thinking_budget_tokens"])
async def test_a_budget_ends_the_thoughts(name: str) -> None:
    async with served(ScriptedBackend(until_closed)) as app:
        body, _ = await both(app, **{name: 12})
    message = body["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hm hm hm hm", "Paris.")
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 12


async def test_effort_none_means_no_thoughts() -> None:
    async with served(ScriptedBackend(until_closed)) as app:
        body, _ = await both(app, reasoning_effort="none")
    message = body["choices"][0]["message"]
    assert message["content"] == "Paris."
    assert "reasoning_content" not in message


async def test_scores_of_all_tokens_are_told_beside_calls_and_thoughts() -> None:
    answer = f"<think>a</think>b {CALL}"
    async with served(saying(answer)) as app:
        body, chunks = await both(app, tools=[WEATHER], logprobs=True)
    whole = body["choices"][0]["logprobs"]["content"]
    assert bytes(b for each in whole for b in each["bytes"]) == answer.encode()
    streamed = [
        each
        for chunk in chunks
        for choice in chunk["choices"]
        for each in (choice["logprobs"] or {}).get("content", ())
    ]
    assert streamed == whole


async def test_a_forced_call_has_a_grammar_and_others_have_none() -> None:
    backend = saying(CALL)
    async with served(backend) as app:
        named = {"type": "function", "function": {"name": "get_weather"}}
        for choice in ("auto", "required", named):
            await app.chat(tools=[WEATHER], tool_choice=choice)
        strict = {"type": "function", "function": WEATHER["function"] | {"strict": True}}  # type: ignore[operator]
        await app.chat(tools=[strict])
    grammars = [request.grammar for request in backend.requests]
    assert [grammar is not None for grammar in grammars] == [False, True, True, True]


async def test_a_schema_that_can_not_be_held_to_is_refused_only_where_it_must_be() -> None:
    odd = {"type": "object", "not": {}}
    function = {"name": "f", "parameters": odd}
    async with served(saying("ok")) as app:
        for fields in ({}, {"tool_choice": "none"}):
            tool = {"type": "function", "function": function}
            assert (await app.chat(tools=[tool], **fields)).status_code == 200
        strict = {"type": "function", "function": function | {"strict": True}}
        error = error_of(await app.chat(tools=[strict]))
    assert error["param"] == "tools[0]"
    assert "the tool f" in error["message"]


async def test_capabilities_tell_how_tools_and_thoughts_are_written() -> None:
    async with served(saying("ok")) as app:
        told = (await app.client.get("/v1/capabilities")).json()
    assert told["tools"] == {"syntax": "hermes", "is_fallback": False}
    assert told["thinking"]["markers"] == ["<think>", "</think>"]
    assert told["thinking"]["effort_budgets"]["low"] == 1024
    assert json.dumps(told)
