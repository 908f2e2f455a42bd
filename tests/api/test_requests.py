"""Every input has an answer: a result, or an error that names field, value and what is allowed."""

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from backends.scripted import END_ID, ScriptedBackend
from tests.api.served import HELLO, Served, error_of, served

TEXT = "Grüße 👩‍🚀 ok"
NUM_IDS = len(TEXT.encode()) + 1
SPELLED = TEXT + "<|im_end|>"


def named(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


TOOL = named("f")


@pytest_asyncio.fixture
async def app() -> AsyncIterator[Served]:
    backend = ScriptedBackend(lambda _: [*TEXT.encode(), END_ID], context_window=200)
    async with served(backend) as opened:
        yield opened


async def test_a_chat_is_answered_in_openais_shape(app: Served) -> None:
    body = (await app.chat(model="jarvis-tiny")).json()
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "jarvis-tiny"
    choice = body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": TEXT, "refusal": None}
    assert choice["finish_reason"] == "stop"
    num_ids = len(TEXT.encode()) + 1
    usage = body["usage"]
    assert usage["completion_tokens"] == num_ids
    assert usage["total_tokens"] == usage["prompt_tokens"] + num_ids


@pytest.mark.parametrize(
    ("fields", "text", "reason"),
    [
        ({"max_tokens": 2}, "Gr", "length"),
        ({"max_completion_tokens": 2}, "Gr", "length"),
        ({"max_tokens": 3}, "Gr\ufffd", "length"),
        ({"stop": "e 👩"}, "Grüß", "stop"),
        ({"stop": ["zz", "üß"]}, "Gr", "stop"),
        ({"stop": None, "user": "me", "metadata": {"a": "b"}}, TEXT, "stop"),
        ({"store": False, "service_tier": "flex", "safety_identifier": "x"}, TEXT, "stop"),
        ({"prompt_cache_key": "x", "response_format": {"type": "text"}}, TEXT, "stop"),
        ({"stop": "ß", "include_stop_str_in_output": True}, "Grüß", "stop"),
        ({"stop": "r", "min_tokens": 2}, TEXT, "stop"),
        ({"stop_token_ids": [ord("r")]}, "G", "stop"),
        ({"stop_token_ids": [ord("r")], "include_stop_str_in_output": True}, "Gr", "stop"),
        ({"skip_special_tokens": False, "stop_token_ids": []}, TEXT, "stop"),
        ({"ignore_eos": True, "max_tokens": NUM_IDS}, TEXT, "length"),
        ({"include_stop_str_in_output": True, "skip_special_tokens": False}, SPELLED, "stop"),
        ({"top_k": -1, "top_p": 1, "min_p": 0, "temperature": 2}, TEXT, "stop"),
    ],
)
async def test_fields_are_honoured(
    app: Served, fields: dict[str, Any], text: str, reason: str
) -> None:
    choice = (await app.chat(**fields)).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (text, reason)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"temperature": 3}, "temperature", "at most 2"),
        ({"temperature": -0.1}, "temperature", "at least 0"),
        ({"temperature": True}, "temperature", "true; allowed is a number"),
        ({"temperature": "1"}, "temperature", '"1"; allowed is a number'),
        ({"top_p": 0}, "top_p", "above 0"),
        ({"top_k": 1.5}, "top_k", "allowed is an integer"),
        ({"top_k": -2}, "top_k", "at least -1"),
        ({"min_p": 1.1}, "min_p", "at most 1"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"max_tokens": True}, "max_tokens", "an integer"),
        ({"max_tokens": 10**400}, "max_tokens", "allowed is"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_completion_tokens", "one of them"),
        ({"seed": 2**63}, "seed", "at most 9223372036854775807"),
        ({"seed": 1.0}, "seed", "an integer"),
        ({"presence_penalty": 2.1}, "presence_penalty", "at most 2"),
        ({"frequency_penalty": -2.1}, "frequency_penalty", "at least -2"),
        ({"repetition_penalty": 0}, "repetition_penalty", "above 0"),
        ({"logit_bias": {"a": 1}}, "logit_bias", "token ids, as text"),
        ({"logit_bias": {"1": 101}}, "logit_bias", "-100 to 100"),
        ({"logit_bias": {"1": True}}, "logit_bias", "a number"),
        ({"logit_bias": {"1": 1, "01": 2}}, "logit_bias", "token ids"),
        ({"logit_bias": {"259": 1}}, "logit_bias", "token id 259; allowed are 0 to 258"),
        ({"allowed_token_ids": []}, "allowed_token_ids", "1 to"),
        ({"allowed_token_ids": [259]}, "allowed_token_ids", "0 to 258"),
        ({"allowed_token_ids": [97], "bad_words": ["a"]}, "allowed_token_ids", "no token"),
        ({"allowed_token_ids": [END_ID], "min_tokens": 1}, "allowed_token_ids", "no token"),
        ({"stop_token_ids": [259]}, "stop_token_ids", "0 to 258"),
        ({"stop_token_ids": [True]}, "stop_token_ids", "token ids"),
        ({"bad_words": [""]}, "bad_words", "1 to 256 characters"),
        ({"bad_words": ["a"] * 257}, "bad_words", "at most 256"),
        ({"min_tokens": -1}, "min_tokens", "at least 0"),
        ({"min_tokens": 5, "max_tokens": 4}, "min_tokens", "length, 4"),
        ({"min_tokens": 199}, "min_tokens", "at most"),
        ({"ignore_eos": 1}, "ignore_eos", "true or false"),
        ({"logprobs": 1}, "logprobs", "true or false"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "at most 20"),
        ({"top_logprobs": 2}, "top_logprobs", "logprobs: true"),
        ({"prompt_logprobs": 21}, "prompt_logprobs", "at most 20"),
        ({"store": True}, "store", "allowed is false"),
        ({"service_tier": "x"}, "service_tier", "allowed is"),
        (
            {"continue_final_message": True, "add_generation_prompt": True},
            "continue_final_message",
            "add_generation_prompt",
        ),
        (
            {"stream": True, "stream_options": {"continuous_usage_stats": True}},
            "stream_options.continuous_usage_stats",
            "include_usage",
        ),
        ({"n": 0}, "n", "0; allowed is a value of at least 1"),
        ({"n": 129}, "n", "129; allowed is a value of at most 128"),
        ({"n": True}, "n", "true; allowed is an integer"),
        ({"priority": 2**31}, "priority", "2147483648; allowed is a value of at most 2147483647"),
        ({"priority": -(2**31) - 1}, "priority", "allowed is a value of at least -2147483648"),
        ({"priority": 1.0}, "priority", "1.0; allowed is an integer"),
        ({"cache_salt": ""}, "cache_salt", "at least 1 character"),
        ({"cache_salt": "s" * 257}, "cache_salt", "at most 256 characters"),
        ({"cache_salt": 7}, "cache_salt", "7; allowed is a string"),
        ({"stop": ""}, "stop", '"";'),
        ({"stop": [None, True, "ü"]}, "stop", '[null, true, "ü"]; allowed is a string'),
        ({"user": {"a": None}}, "user", '{"a": null}; allowed is a string'),
        ({"stop": ["a"] * 17}, "stop", "at most 16"),
        ({"stop": [1]}, "stop", "allowed is a string"),
        ({"stream": 1}, "stream", "true or false"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "stream: true"),
        ({"model": 7}, "model", "a string"),
        ({"metadata": {"a": 1}}, "metadata.a", "a string"),
        ({"no_such_field": 1}, "no_such_field", "no field of this request"),
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": "hi"}, "messages", "a list"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "required"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "null"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "allowed is"),
        ({"messages": [{"role": "user", "content": "a", "x": 1}]}, "messages[0].x", "no field"),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "messages", "wizard"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "tools[0].type", "function alone"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "required"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "required"),
        ({"tools": [TOOL, TOOL]}, "tools[1]", "second tool"),
        ({"tools": [named("a b")]}, "tools[0].function.name", "letters, digits"),
        ({"tools": [named("n" * 129)]}, "tools[0].function.name", "at most 128"),
        ({"tools": [named("f", parameters=[])]}, "tools[0].function.parameters", "an object"),
        (
            {"tools": [named("f", parameters={"type": "array"})]},
            "tools[0].function.parameters",
            'type "object"',
        ),
        ({"tools": [TOOL] * 513}, "tools", "at most 512"),
        ({"tool_choice": "required"}, "tool_choice", "there are no tools"),
        ({"tool_choice": {"type": "function"}, "tools": [TOOL]}, "tool_choice", "allowed is"),
        ({"tool_choice": "maybe", "tools": [TOOL]}, "tool_choice", '"maybe"; allowed is "auto"'),
        (
            {"tool_choice": {"type": "function", "function": {"name": "g"}}, "tools": [TOOL]},
            "tool_choice",
            "not among the tools",
        ),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls", "true or false"),
        ({"reasoning_effort": "much"}, "reasoning_effort", '"minimal"'),
        ({"thinking_token_budget": -1}, "thinking_token_budget", "at least 0"),
        (
            {"thinking_token_budget": 1, "thinking_budget_tokens": 2},
            "thinking_budget_tokens",
            "one of them",
        ),
        (
            {"tools": [TOOL], "tool_choice": "required", "min_tokens": 2},
            "min_tokens",
            "does not go with tools",
        ),
        (
            {"tools": [TOOL], "structured_outputs": {"regex": "a"}},
            "structured_outputs",
            "does not go with tools",
        ),
        (
            {"tools": [named("f", strict=True, parameters={"type": "object", "not": {}})]},
            "tools[0]",
            "the tool f can't be held to",
        ),
    ],
)
async def test_a_wrong_field_is_named_with_what_is_allowed(
    app: Served, fields: dict[str, Any], param: str, words: str
) -> None:
    response = await app.chat(**fields)
    assert response.status_code == 400, response.text
    error = error_of(response)
    assert error["type"] == "invalid_request_error"
    assert str(error["param"]).startswith(param)
    assert words in error["message"]


@pytest.mark.parametrize(
    ("field", "value", "idle"),
    [
        ("functions", [{"name": "f"}], []),
        ("echo", True, False),
        ("modalities", ["text", "audio"], ["text"]),
    ],
)
async def test_a_field_that_is_not_honoured_is_refused_unless_it_asks_for_nothing(
    app: Served, field: str, value: Any, idle: Any
) -> None:
    error = error_of(await app.chat(**{field: value}))
    assert (error["param"], error["code"]) == (field, "unsupported_field")
    assert (await app.chat(**{field: idle})).status_code == 200


async def test_text_parts_are_joined_and_other_parts_refused(app: Served) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    path = "/v1/chat/completions/render"
    joined = await app.client.post(path, json={"messages": [{"role": "user", "content": parts}]})
    plain = await app.client.post(path, json={"messages": [{"role": "user", "content": "a\nb"}]})
    assert joined.json() == plain.json()
    image = [*parts, {"type": "image_url", "image_url": {"url": "http://x"}}]
    error = error_of(await app.chat(messages=[{"role": "user", "content": image}]))
    assert error["param"] == "messages[0].content[2]"
    assert "image_url" in error["message"]


async def test_an_answer_may_be_echoed_as_clients_do(app: Served) -> None:
    message = (await app.chat()).json()["choices"][0]["message"] | {"annotations": []}
    assert (await app.chat(messages=[*HELLO, message, *HELLO])).status_code == 200


@pytest.mark.parametrize("name", ["", None, "jarvis-tiny"])
async def test_the_served_model_may_be_named_or_not(app: Served, name: str | None) -> None:
    assert (await app.chat(model=name)).status_code == 200


async def test_another_model_is_not_found(app: Served) -> None:
    response = await app.chat(model="gpt-4")
    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"
    assert (await app.client.get("/v1/models/org/other")).status_code == 404
    assert (await app.client.get("/v1/models/jarvis-tiny")).json()["id"] == "jarvis-tiny"


async def test_what_does_not_fit_is_refused_with_both_numbers(app: Served) -> None:
    for response in (await app.chat(max_tokens=190), await app.complete(prompt="a" * 300)):
        assert response.status_code == 400
        error = error_of(response)
        assert error["code"] == "context_length_exceeded"
        assert "200" in error["message"]
    assert "300" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b"\xff",
        b'{"messages": NaN}',
        b'{"temperature": Infinity}',
        b'{"temperature": 1e999}',
        b'{"a": "\\ud800"}',
        b"[" * 100_000,
    ],
)
async def test_what_is_not_strict_json_is_refused(app: Served, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await app.client.post("/v1/chat/completions", content=body, headers=headers)
    assert response.status_code == 400
    assert "JSON" in error_of(response)["message"]


@pytest.mark.parametrize("body", ["null", "true", "[null, 1]", '"a"', "1.5"])
async def test_a_body_that_is_no_object_is_shown_as_json(app: Served, body: str) -> None:
    headers = {"content-type": "application/json"}
    response = await app.client.post("/v1/completions", content=body, headers=headers)
    assert response.status_code == 400
    assert error_of(response)["message"] == f"the body must be a JSON object; it is {body}"


async def test_only_json_is_read(app: Served) -> None:
    response = await app.client.post("/v1/completions", content=b"{}")
    assert response.status_code == 415
    assert error_of(response)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_huge_body_is_refused_while_it_comes(app: Served, is_chunked: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b" " * 1024 * 1024

    content = chunks() if is_chunked else b" " * 17 * 1024 * 1024
    headers = {"content-type": "application/json"}
    response = await app.client.post("/v1/completions", content=content, headers=headers)
    assert response.status_code == 413
    assert error_of(response)["code"] == "request_too_large"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/v1/completions", 405)]
)
async def test_unknown_routes_and_methods_have_the_same_body(
    app: Served, method: str, path: str, status: int
) -> None:
    response = await app.client.request(method, path)
    assert response.status_code == status
    assert path in error_of(response)["message"]


@pytest.mark.parametrize(
    ("prompt", "count"), [("a", 1), ([1, 2], 1), (["a", "b"], 2), ([[1], [2], [3]], 3)]
)
async def test_a_list_of_prompts_gives_a_choice_each_in_order(
    app: Served, prompt: Any, count: int
) -> None:
    body = (await app.complete(prompt=prompt, max_tokens=2)).json()
    assert [choice["index"] for choice in body["choices"]] == list(range(count))
    assert {choice["text"] for choice in body["choices"]} == {"Gr"}
    assert body["usage"]["completion_tokens"] == 2 * count


@pytest.mark.parametrize(
    "prompt", ["", [], [[]], [-1], [259], [1.5], [True], ["a", ""], ["a", 1], ["a"] * 129, None]
)
async def test_wrong_prompts_are_refused(app: Served, prompt: Any) -> None:
    response = await app.complete(prompt=prompt)
    assert response.status_code == 400
    assert error_of(response)["param"] == "prompt"


async def test_render_shows_the_prompt_and_its_digests(app: Served) -> None:
    path = "/v1/chat/completions/render"
    body = (await app.client.post(path, json={"messages": HELLO})).json()
    assert body["prompt"] == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    assert body["token_ids"].count(END_ID) == 1
    assert END_ID in body["stop_ids"]
    assert body["prompt_sha256"] == hashlib.sha256(body["prompt"].encode()).hexdigest()
    ids = json.dumps(body["token_ids"], separators=(",", ":")).encode()
    assert body["ids_sha256"] == hashlib.sha256(ids).hexdigest()


async def test_health_models_and_the_description_are_served(app: Served) -> None:
    assert (await app.client.get("/health")).json() == {"status": "ok"}
    ready = await app.client.get("/health/ready")
    assert (ready.status_code, ready.json()["state"]) == (200, "ready")
    assert [m["id"] for m in (await app.client.get("/v1/models")).json()["data"]] == ["jarvis-tiny"]
    document = (await app.client.get("/openapi.json")).json()
    body = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    name = body["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert "messages" in document["components"]["schemas"][name]["properties"]
    assert (await app.client.get("/docs")).status_code == 200


async def test_a_body_cut_short_harms_nobody(app: Served) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b'{"messages": '
        raise ConnectionResetError

    headers = {"content-type": "application/json"}
    with pytest.raises((httpx.HTTPError, ConnectionResetError)):
        await app.client.post("/v1/completions", content=half(), headers=headers)
    assert (await app.chat()).status_code == 200


async def test_unknown_fields_are_ignored_by_name_where_that_is_set() -> None:
    backend = ScriptedBackend(lambda _: [*b"ab", END_ID])
    async with served(backend, JARVIS_STRICT_FIELDS="false") as app:
        messages = [{"role": "user", "content": "hi", "cache_control": {}}]
        for stream in (False, True):
            response = await app.chat(messages=messages, mirostat=2, stream=stream)
            assert response.status_code == 200
            assert response.headers["x-jarvis-ignored"] == "messages[0].cache_control, mirostat"
        assert "x-jarvis-ignored" not in (await app.chat()).headers
        # What is known and not honoured is refused all the same.
        assert (await app.chat(tools=[{"type": "function"}])).status_code == 400
