"""The real anthropic client over the application on a port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anthropic import (
    APIStatusError,
    AsyncAnthropic,
    BadRequestError,
    ContentTooLargeError,
    NotFoundError,
    ServiceUnavailableError,
)

from backends.scripted import END_ID, ScriptedBackend
from tests.api.messages.test_messages import HERMES, TEXT, TOOLS, saying, words
from tests.api.served import HELLO, Served, served
from tests.api.streams import Gate

ASKING: dict[str, Any] = {"model": "jarvis-tiny", "max_tokens": 500, "messages": HELLO}


@asynccontextmanager
async def client_of(backend: ScriptedBackend) -> AsyncIterator[tuple[AsyncAnthropic, Served]]:
    async with (
        served(backend) as app,
        AsyncAnthropic(base_url=str(app.client.base_url), api_key="x", max_retries=0) as client,
    ):
        yield client, app


async def test_it_asks_and_counts() -> None:
    async with client_of(ScriptedBackend(words)) as (client, _):
        answer = await client.messages.create(**ASKING)
        counted = await client.messages.count_tokens(
            model="jarvis-tiny", messages=ASKING["messages"]
        )
    assert answer.content[0].type == "text"
    assert answer.content[0].text == TEXT
    assert answer._request_id is not None
    assert counted.input_tokens == answer.usage.input_tokens


async def test_it_streams() -> None:
    async with client_of(ScriptedBackend(words)) as (client, _):
        async with client.messages.stream(**ASKING) as stream:
            text = "".join([part async for part in stream.text_stream])
            final = await stream.get_final_message()
        raw = await client.messages.create(**ASKING, stream=True)
        kinds = [event.type async for event in raw]
    assert text == TEXT == _text_of(final)
    assert final.usage.output_tokens == len(TEXT.encode()) + 1
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


async def _read_out(events: AsyncIterator[Any]) -> None:
    async for _ in events:
        pass


def _text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_it_calls_tools_in_a_loop() -> None:
    def script(request: Any) -> list[int]:
        prompt = bytes(i for i in request.prompt_ids if i < 256).decode()
        return [*("It sees a cat." if "a cat" in prompt else HERMES).encode(), END_ID]

    async with client_of(ScriptedBackend(script)) as (client, _):
        async with client.messages.stream(**ASKING, tools=TOOLS) as stream:
            first = await stream.get_final_message()
        (call,) = first.content
        assert call.type == "tool_use"
        assert call.input == {"at": "Grüße"}
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "a cat"}
        turns: Any = [
            *HELLO,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ]
        last = await client.messages.create(**{**ASKING, "messages": turns}, tools=TOOLS)
    assert first.stop_reason == "tool_use"
    assert last.stop_reason == "end_turn"
    assert _text_of(last) == "It sees a cat."


async def test_it_reads_thoughts() -> None:
    async with (
        client_of(saying("<think>\nHmm.\n</think>\n\nYes.")) as (client, _),
        client.messages.stream(**ASKING, thinking={"type": "adaptive"}) as stream,
    ):
        final = await stream.get_final_message()
    thoughts, text = final.content
    assert thoughts.type == "thinking"
    assert thoughts.thinking == "Hmm."
    assert text.type == "text"
    assert text.text == "Yes."


@pytest.mark.parametrize(
    ("fields", "kind", "type_"),
    [
        ({"model": "other"}, NotFoundError, "not_found_error"),
        ({"max_tokens": -1}, BadRequestError, "invalid_request_error"),
        ({"system": "a" * (1 << 24)}, ContentTooLargeError, "request_too_large"),
    ],
)
async def test_it_sees_errors(fields: Any, kind: type[APIStatusError], type_: str) -> None:
    async with client_of(ScriptedBackend(words)) as (client, _):
        with pytest.raises(kind) as refused:
            await client.messages.create(**{**ASKING, **fields})
    assert refused.value.type == type_
    assert refused.value.request_id is not None


async def test_it_sees_a_failure_in_a_stream_and_an_engine_that_is_gone() -> None:
    gate = Gate(num_open=3)
    backend = ScriptedBackend(words, gate=gate.passed)
    async with client_of(backend) as (client, _):
        events = await client.messages.create(**ASKING, stream=True)
        await gate.is_waited_for.wait()
        backend.fail("the engine died")
        gate.open()
        with pytest.raises(APIStatusError, match="the engine died"):
            await _read_out(events)
        with pytest.raises(ServiceUnavailableError) as refused:
            await client.messages.create(**ASKING)
    assert refused.value.type == "overloaded_error"
