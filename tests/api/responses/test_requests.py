"""Every field of a request for a response: honoured, told back, or refused by its name."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.api.responses.asking import TEXT, greeting, output_text, post, prompt_of, respond, stream
from tests.api.served import Served, error_of, served

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
SCORES = "message.output_text.logprobs"


@pytest_asyncio.fixture
async def app() -> AsyncIterator[Served]:
    async with served(greeting(context_window=400)) as opened:
        yield opened


async def test_a_response_has_openais_shape(app: Served) -> None:
    body = await respond(app, model="jarvis-tiny")
    assert body["id"].startswith("resp_")
    assert (body["object"], body["status"], body["model"]) == (
        "response",
        "completed",
        "jarvis-tiny",
    )
    assert output_text(body) == TEXT
    assert [item["type"] for item in body["output"]] == ["message"]
    num_ids = len(TEXT.encode()) + 1
    assert body["usage"]["output_tokens"] == num_ids
    assert body["usage"]["total_tokens"] == body["usage"]["input_tokens"] + num_ids
    assert body["completed_at"] >= body["created_at"]
    assert (body["error"], body["incomplete_details"]) == (None, None)


async def test_a_stream_ends_with_the_plain_response(app: Served) -> None:
    body, events = await respond(app), await stream(app)
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]
    assert last["type"] == "response.completed"
    changing = ("id", "created_at", "completed_at", "output")
    for name in set(body) - set(changing):
        assert last["response"][name] == body[name], name
    assert output_text(last["response"]) == output_text(body)
    deltas = [event["delta"] for event in events if "delta" in event]
    assert "".join(deltas) == TEXT
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1


async def test_an_answer_that_is_cut_is_incomplete(app: Served) -> None:
    body, events = await respond(app, max_output_tokens=2), await stream(app, max_output_tokens=2)
    assert events[-1]["type"] == "response.incomplete"
    for found in (body, events[-1]["response"]):
        assert (output_text(found), found["status"]) == ("Gr", "incomplete")
        assert found["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, {"temperature": 1.0, "top_p": 1.0, "tool_choice": "auto", "tools": []}),
        ({}, {"text": {"format": {"type": "text"}, "verbosity": "medium"}, "metadata": {}}),
        ({}, {"parallel_tool_calls": True, "truncation": "disabled", "background": False}),
        ({"temperature": 0, "top_p": 0.5}, {"temperature": 0.0, "top_p": 0.5}),
        ({"instructions": "Be brief."}, {"instructions": "Be brief."}),
        ({"instructions": None, "user": "me"}, {"instructions": None, "user": "me"}),
        ({"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"max_output_tokens": 5}, {"max_output_tokens": 5}),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        ({"prompt_cache_key": "k", "safety_identifier": "s"}, {"prompt_cache_key": "k"}),
        ({"service_tier": "flex"}, {"service_tier": "default"}),
        ({"truncation": "disabled", "conversation": None}, {"truncation": "disabled"}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {}),
        ({"reasoning": None, "text": None, "include": None, "tools": None}, {}),
        ({"include": ["reasoning.encrypted_content", SCORES]}, {"top_logprobs": 0}),
        ({"include": [SCORES], "top_logprobs": 2}, {"top_logprobs": 2}),
        ({"store": False}, {}),
        ({"top_k": 5, "min_p": 0.1, "seed": 7}, {}),
        ({"stream_options": None, "max_tool_calls": None, "prompt": None}, {}),
        ({"text": {"verbosity": "medium"}}, {}),
        ({"thinking_token_budget": 5}, {}),
    ],
)
async def test_fields_are_taken_and_told_back(
    app: Served, fields: dict[str, Any], told: dict[str, Any]
) -> None:
    body = await respond(app, **fields)
    assert {name: body[name] for name in told} == told


async def test_scores_are_shown_where_they_are_asked_for(app: Served) -> None:
    body = await respond(app, include=[SCORES], top_logprobs=2)
    scores = body["output"][0]["content"][0]["logprobs"]
    assert len(scores) == len(TEXT.encode())
    assert [len(score["top_logprobs"]) for score in scores[:2]] == [2, 2]
    events = await stream(app, include=[SCORES])
    found = [s for e in events if e["type"] == "response.output_text.delta" for s in e["logprobs"]]
    assert len(found) == len(TEXT.encode())


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"input": None}, "input", "allowed is a string"),
        ({"input": []}, "input", "a list of items, none empty"),
        ({"input": 3}, "input", "3; allowed"),
        ({"unknown": 1}, "unknown", "no field"),
        ({"temperature": 3}, "temperature", "at most 2"),
        ({"max_output_tokens": 0}, "max_output_tokens", "at least 1"),
        ({"max_tokens": 5}, "max_tokens", "no field"),
        ({"truncation": "auto"}, "truncation", 'allowed: "disabled"'),
        ({"conversation": "conv_1"}, "conversation", "not honoured"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "not honoured"),
        ({"max_tool_calls": 3}, "max_tool_calls", "not honoured"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "not honoured"),
        ({"background": True, "stream": True}, "stream", "background"),
        ({"background": True, "store": False}, "store", "background"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options", "stream: true"),
        (
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation",
            "allowed is false",
        ),
        ({"include": ["x"]}, "include[0]", "allowed is"),
        ({"top_logprobs": 2}, "top_logprobs", "include"),
        ({"top_logprobs": 21, "include": [SCORES]}, "top_logprobs", "at most 20"),
        ({"reasoning": {"effort": "most"}}, "reasoning.effort", "allowed is"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary", 'allowed is "auto"'),
        ({"reasoning": {"x": 1}}, "reasoning.x", "no field"),
        ({"text": {"verbosity": "low"}}, "text.verbosity", '"medium"'),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "allowed is"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.name", "letters"),
        (
            {"text": {"format": {"type": "json_schema", "name": "a"}}},
            "text.format.schema",
            "requires it",
        ),
        (
            {"text": {"format": {"type": "json_object", "strict": True}}},
            "text.format.strict",
            "json_schema alone",
        ),
        (
            {"text": {"format": {"type": "json_object"}}, "min_tokens": 2},
            "min_tokens",
            "structured output",
        ),
        ({"min_tokens": 5, "max_output_tokens": 4}, "min_tokens", "length, 4"),
        ({"tools": {}}, "tools", "a list"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "runs no tools of its own"),
        ({"tools": [{"type": "function"}]}, "tools[0].name", "required"),
        ({"tools": [{"name": "a"}]}, "tools[0].type", "required"),
        ({"tools": [TOOL | {"x": 1}]}, "tools[0].x", "no field"),
        ({"tools": [TOOL | {"defer_loading": True}]}, "tools[0].defer_loading", "not honoured"),
        ({"tools": [TOOL | {"name": "a b"}]}, "tools[0].name", "letters"),
        ({"tools": [TOOL, TOOL]}, "tools[1]", "second tool"),
        ({"tool_choice": "any"}, "tool_choice", "allowed is none"),
        ({"tool_choice": "required"}, "tool_choice", "no tools"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice", "allowed is none"),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "x"}},
            "tool_choice",
            '"x", which is none',
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "mode": "x", "tools": []}},
            "tool_choice.mode",
            "auto or required",
        ),
        (
            {
                "tools": [TOOL],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [TOOL]},
            },
            "tool_choice.tools",
            "allowed is a list",
        ),
        ({"previous_response_id": 3}, "previous_response_id", "a string"),
    ],
)
async def test_what_is_not_honoured_is_refused_by_name(
    app: Served, fields: dict[str, Any], param: str, words: str
) -> None:
    answer = await post(app, **fields)
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert error["param"] == param
    assert words in error["message"]
    assert not app.backend.requests


async def test_an_input_must_be_there(app: Served) -> None:
    answer = await app.client.post("/v1/responses", json={"instructions": "Speak."})
    assert (answer.status_code, error_of(answer)["param"]) == (400, "input")


async def test_unknown_fields_can_be_ignored_and_are_named() -> None:
    async with served(greeting(), JARVIS_STRICT_FIELDS="false") as app:
        item = {"role": "user", "content": "hi", "mood": "good"}
        answer = await post(app, input=[item], colour="red", tools=[TOOL | {"size": 1}])
        assert answer.headers["x-jarvis-ignored"] == "colour, tools[0].size, input[0].mood"


async def test_another_model_and_too_long_an_input_are_refused(app: Served) -> None:
    other = await post(app, model="gpt-x")
    assert (other.status_code, error_of(other)["code"]) == (404, "model_not_found")
    long = await post(app, input="a" * 500)
    assert (long.status_code, error_of(long)["code"]) == (400, "context_length_exceeded")


async def test_instructions_are_the_first_message(app: Served) -> None:
    system = {"role": "developer", "content": "Speak German."}
    user = {"role": "user", "content": "hi"}
    await respond(app, instructions="Be brief.", input=[system, user])
    assert prompt_of(app.backend).startswith("system\nBe brief.\n\nSpeak German.\nuser\nhi")
