"""POST /v1/messages over real HTTP: answers, streams and errors, held against Anthropic's types."""

import asyncio
from typing import Any

import httpx
import pytest

from api.messages.blocks import BlockRules
from api.messages.content import MessageContent, MessageStyle
from api.messages.frames import MessageFrames
from backends.base import TokenRequest
from backends.scripted import END_ID, ScriptedBackend
from core.events import TextDelta
from tests.answer_sources import MadeSource
from tests.api.messages.anthropic_types import (
    checked_count,
    checked_error,
    checked_event,
    checked_message,
)
from tests.api.messages.made_up import events_in
from tests.api.served import HELLO, Served, served
from tests.api.streams import Gate
from tests.script import Memory

TEXT = "Grüß Gott"
BODY: dict[str, Any] = {"model": "jarvis-tiny", "max_tokens": 500, "messages": HELLO}
HERMES = '<tool_call>\n{"name": "look", "arguments": {"at": "Grüße"}}\n</tool_call>'
TOOLS: list[Any] = [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}]


def words(_: TokenRequest) -> list[int]:
    return [*TEXT.encode(), END_ID]


def saying(text: str) -> ScriptedBackend:
    return ScriptedBackend(lambda _: [*text.encode(), END_ID])


async def ask(app: Served, **fields: Any) -> httpx.Response:
    return await app.client.post("/v1/messages", json=BODY | fields)


async def message(app: Served, **fields: Any) -> dict[str, Any]:
    response = await ask(app, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["request-id"].startswith("req_")
    return checked_message(response.json())


async def streamed(app: Served, **fields: Any) -> list[dict[str, Any]]:
    response = await ask(app, stream=True, **fields)
    assert response.headers["content-type"].startswith("text/event-stream")
    return [checked_event(event) for event in events_in(response.text)]


async def test_an_answer_is_a_message() -> None:
    backend = ScriptedBackend(words, count_cached=Memory().count_cached)
    async with served(backend) as app:
        first, second = await message(app), await message(app)
    assert first["id"].startswith("msg_")
    assert first["model"] == "jarvis-tiny"
    assert first["content"] == [{"type": "text", "text": TEXT}]
    assert (first["stop_reason"], first["stop_sequence"]) == ("end_turn", None)
    num_prompt = first["usage"]["input_tokens"]
    assert first["usage"]["output_tokens"] == len(TEXT.encode()) + 1
    assert second["usage"]["input_tokens"] == 1
    assert second["usage"]["cache_read_input_tokens"] == num_prompt - 1


async def test_a_stream_says_the_same() -> None:
    async with served(ScriptedBackend(words)) as app:
        plain = await message(app)
        events = await streamed(app)
    texts = [e["delta"]["text"] for e in events if e["type"] == "content_block_delta"]
    assert "".join(texts) == TEXT
    assert events[0]["message"]["usage"]["input_tokens"] == plain["usage"]["input_tokens"]
    assert events[-2]["usage"] == plain["usage"]
    assert events[-2]["delta"]["stop_reason"] == "end_turn"
    assert events[-1]["type"] == "message_stop"


async def test_what_ended_an_answer_is_told() -> None:
    async with served(ScriptedBackend(words)) as app:
        cut = await message(app, max_tokens=2)
        stopped = await message(app, stop_sequences=["x", " G"])
        events = await streamed(app, stop_sequences=[" G"])
    assert cut["stop_reason"] == "max_tokens"
    assert stopped["content"][0]["text"] == "Grüß"
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", " G")
    assert events[-2]["delta"]["stop_sequence"] == " G"


async def test_an_answer_longer_than_the_window_ends_with_it() -> None:
    backend = ScriptedBackend(lambda _: iter([97] * 1000), context_window=200)
    async with served(backend) as app:
        answer = await message(app, max_tokens=100_000)
        usage = answer["usage"]
        assert answer["stop_reason"] == "model_context_window_exceeded"
        assert usage["input_tokens"] + usage["output_tokens"] == 200
        refused = await ask(app, messages=[{"role": "user", "content": "a" * 300}])
    assert refused.status_code == 400
    assert checked_error(refused.json())["type"] == "invalid_request_error"


async def test_no_tokens_at_all_compute_the_prompt_alone() -> None:
    async with served(ScriptedBackend(words)) as app:
        answer = await message(app, max_tokens=0)
    assert answer["content"] == []
    assert answer["usage"]["output_tokens"] == 0


async def test_a_prefill_is_gone_on_with() -> None:
    backend = ScriptedBackend(words)
    async with served(backend) as app:
        await message(app, messages=[*HELLO, {"role": "assistant", "content": "I say"}])
    assert bytes(i for i in backend.requests[0].prompt_ids if i < 256).endswith(b"\nI say")


async def test_headers_of_anthropics_clients_are_taken_and_not_needed() -> None:
    headers = {"x-api-key": "secret", "anthropic-version": "2023-06-01", "anthropic-beta": "a,b"}
    async with served(ScriptedBackend(words)) as app:
        response = await app.client.post("/v1/messages", json=BODY, headers=headers)
    assert response.status_code == 200


async def test_fields_without_effect_are_taken_and_unknown_ones_are_named() -> None:
    async with served(ScriptedBackend(words), JARVIS_STRICT_FIELDS="false") as app:
        await message(
            app,
            metadata={"user_id": "a"},
            service_tier="auto",
            cache_control={"type": "ephemeral", "ttl": "5m"},
            context_management={"edits": []},
        )
        response = await ask(app, fallbacks=[])
        assert response.headers["x-jarvis-ignored"] == "fallbacks"
        checked_message(response.json())
    async with served(ScriptedBackend(words)) as app:
        refused = await ask(app, fallbacks=[])
    assert "fallbacks" in checked_error(refused.json())["message"]


async def test_tokens_are_counted_as_they_are_computed() -> None:
    prompt = {"messages": HELLO, "system": "Be kind.", "tools": TOOLS}
    async with served(ScriptedBackend(words)) as app:
        counted = await app.client.post("/v1/messages/count_tokens", json=prompt)
        answered = await message(app, **prompt)
        bare = await app.client.post("/v1/messages/count_tokens", json={"messages": HELLO})
    assert checked_count(counted.json()) == answered["usage"]["input_tokens"]
    assert checked_count(bare.json()) < checked_count(counted.json())


async def test_a_call_is_a_block_and_its_result_goes_back() -> None:
    async with served(saying("I look.\n" + HERMES)) as app:
        answer = await message(app, tools=TOOLS)
        events = await streamed(app, tools=TOOLS)
        text, call = answer["content"]
        assert text["text"] == "I look."
        assert (call["name"], call["input"]) == ("look", {"at": "Grüße"})
        assert answer["stop_reason"] == "tool_use"
        pieces = [e["delta"] for e in events if e["type"] == "content_block_delta"]
        inputs = [each["partial_json"] for each in pieces if each["type"] == "input_json_delta"]
        assert len(inputs) > 1
        assert "".join(inputs) == '{"at": "Grüße"}'
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "a cat"}
        turns = [
            *HELLO,
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": [result]},
        ]
        await message(app, tools=TOOLS, messages=turns)
    prompt = bytes(i for i in app.backend.requests[-1].prompt_ids if i < 256).decode()
    assert "a cat" in prompt
    assert "I look." in prompt


async def test_thoughts_are_a_block_of_their_own() -> None:
    async with served(saying("<think>\nHmm.\n</think>\n\nYes.")) as app:
        answer = await message(app)
        hidden = await message(app, thinking={"type": "adaptive", "display": "omitted"})
    assert answer["content"] == [
        {"type": "thinking", "signature": "", "thinking": "Hmm."},
        {"type": "text", "text": "Yes."},
    ]
    assert answer["usage"]["output_tokens_details"]["thinking_tokens"] > 0
    assert [block.get("thinking") for block in hidden["content"]] == ["", None]


async def test_thoughts_end_at_their_budget() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    async with served(saying("<think>\n" + "a" * 1500)) as app:
        answer = await message(app, max_tokens=2000, thinking=thinking)
        free = await message(app, max_tokens=1400)
    counted = [each["usage"]["output_tokens_details"]["thinking_tokens"] for each in (answer, free)]
    assert 1000 < counted[0] < 1100 < counted[1]
    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]


async def test_a_structure_and_a_wanted_call_reach_the_engine() -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    choice = {"type": "tool", "name": "look"}
    backend = saying("{}")
    async with served(backend) as app:
        await message(app)
        await message(app, output_config={"format": wanted})
        await message(app, tools=TOOLS, tool_choice=choice)
    grammars = [request.grammar for request in backend.requests]
    assert [grammar is None for grammar in grammars] == [True, False, False]


async def test_the_description_holds_these_bodies() -> None:
    async with served(ScriptedBackend(words)) as app:
        document = (await app.client.get("/openapi.json")).json()
    for path, field in (
        ("/v1/messages", "max_tokens"),
        ("/v1/messages/count_tokens", "system"),
        ("/tokenize", "content"),
        ("/detokenize", "tokens"),
        ("/apply-template", "messages"),
    ):
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        name = body["schema"]["$ref"].rsplit("/", 1)[1]
        assert field in document["components"]["schemas"][name]["properties"]


FAILURES: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("POST", "/v1/messages", {"json": {}}, 400, "invalid_request_error"),
    ("POST", "/v1/messages", {"json": BODY | {"model": "x"}}, 404, "not_found_error"),
    ("POST", "/v1/messages", {"content": "{}"}, 415, "invalid_request_error"),
    ("POST", "/v1/messages", {"json": {"a": "b" * (1 << 24)}}, 413, "request_too_large"),
    ("GET", "/v1/messages", {}, 405, "invalid_request_error"),
    ("POST", "/v1/messages/count_tokens", {"json": {}}, 400, "invalid_request_error"),
    ("GET", "/v1/messages/count_tokens", {}, 405, "invalid_request_error"),
    ("POST", "/v1/messages/batches", {"json": {}}, 404, "not_found_error"),
]


@pytest.mark.parametrize(("method", "path", "content", "status", "kind"), FAILURES)
async def test_every_failure_is_told_in_anthropics_words(
    method: str, path: str, content: dict[str, Any], status: int, kind: str
) -> None:
    async with served(ScriptedBackend(words)) as app:
        response = await app.client.request(method, path, **content)
        elsewhere = await app.client.get("/v1/messages_of_others")
    assert response.status_code == status
    assert checked_error(response.json())["type"] == kind
    assert response.json()["request_id"] == response.headers["request-id"]
    assert set(elsewhere.json()["error"]) == {"message", "type", "param", "code"}


async def test_an_engine_that_is_gone_is_overloaded_and_says_when_to_come_again() -> None:
    backend = ScriptedBackend(words)
    async with served(backend) as app:
        await message(app)
        backend.fail("the engine died")
        await app.client.get("/health/ready")
        response = await ask(app)
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert checked_error(response.json())["type"] == "overloaded_error"


async def test_a_failure_in_a_stream_is_an_error_event_and_the_end() -> None:
    gate = Gate(num_open=3)
    backend = ScriptedBackend(words, gate=gate.passed)
    async with served(backend) as app:
        asking = asyncio.create_task(ask(app, stream=True))
        await gate.is_waited_for.wait()
        backend.fail("the engine died")
        gate.open()
        response = await asking
    *events, error = events_in(response.text)
    assert checked_error(error)["type"] == "api_error"
    assert error["request_id"] == response.headers["request-id"]
    kinds = [checked_event(event)["type"] for event in events]
    assert kinds[0] == "message_start"
    assert "message_stop" not in kinds


def test_a_stream_whose_client_left_has_no_end_to_tell_of() -> None:
    content = MessageContent(MessageStyle("jarvis-tiny", BlockRules(), 9), MadeSource())
    frames = MessageFrames(content, "req_1")
    assert frames.opening().startswith(b"event: message_start")
    content.add({0: [TextDelta("a")]})
    assert b"content_block_delta" in frames.of({})
    assert frames.closing() == b""
