"""Streams and plain answers that end early, and the openai client's view of all of it."""

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, InternalServerError, NotFoundError

from tests.api.responses.asking import PATH, TEXT, greeting, output_text, post
from tests.api.responses.folding import read_frames
from tests.api.served import Served, error_of, served
from tests.api.streams import Gate


def client_of(app: Served) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{app.client.base_url}/v1", api_key="x", max_retries=0)


async def test_an_engine_that_dies_in_a_stream_ends_it_with_a_failed_response() -> None:
    gate = Gate(num_open=3)
    async with served(greeting(gate=gate.passed)) as app:
        asking = asyncio.create_task(post(app, stream=True))
        await gate.is_waited_for.wait()
        app.backend.fail("the engine died")
        gate.open()
        events = read_frames((await asking).content)
        failed = events[-1]["response"]
        assert events[-1]["type"] == "response.failed"
        assert failed["error"] == {"code": "server_error", "message": "the engine died"}
        assert output_text(failed) == "Gr"
        assert (await app.client.get(f"{PATH}/{failed['id']}")).json() == failed


@pytest.mark.parametrize("is_stream", [True, False])
async def test_an_engine_that_dies_before_the_first_byte_is_told_by_status(
    is_stream: bool,
) -> None:
    gate = Gate()
    async with served(greeting(gate=gate.passed)) as app:
        asking = asyncio.create_task(post(app, stream=is_stream))
        await gate.is_waited_for.wait()
        app.backend.fail("the engine died")
        gate.open()
        answer = await asking
        assert (answer.status_code, error_of(answer)["code"]) == (500, "engine_failed")


async def test_a_client_that_leaves_stops_the_engine_and_nothing_is_kept() -> None:
    gate = Gate(num_open=3)
    async with served(greeting(gate=gate.passed)) as app:
        body = {"input": "hi", "stream": True}
        async with app.client.stream("POST", PATH, json=body) as answer:
            first = await anext(answer.aiter_text())
        (created,) = read_frames(first.split("\n\n")[0].encode() + b"\n\n")
        await gate.is_left.wait()
        found = await app.client.get(f"{PATH}/{created['response']['id']}")
        assert found.status_code == 404


async def test_a_stream_is_read_as_it_grows() -> None:
    gate = Gate(num_open=1)
    async with served(greeting(gate=gate.passed)) as app, client_of(app) as client:
        text = ""
        async for event in await client.responses.create(input="hi", stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
                gate.open()
        assert text == TEXT


async def test_the_openai_client_asks_goes_on_lists_and_deletes() -> None:
    async with served(greeting()) as app, client_of(app) as client:
        first = await client.responses.create(model="jarvis-tiny", input="one")
        assert first.output_text == TEXT
        echoed: Any = [{"role": "user", "content": "one"}, *first.output]
        again = await client.responses.create(
            input=[*echoed, {"role": "user", "content": "two"}], store=False
        )
        second = await client.responses.create(input="two", previous_response_id=first.id)
        assert app.backend.requests[1].prompt_ids == app.backend.requests[2].prompt_ids
        assert again.output_text == TEXT
        assert (await client.responses.retrieve(second.id)).output_text == TEXT
        items = [item async for item in client.responses.input_items.list(second.id, limit=2)]
        assert [item.type for item in items] == ["message"] * 3
        await client.responses.delete(first.id)
        with pytest.raises(NotFoundError, match="not found"):
            await client.responses.retrieve(first.id)
        with pytest.raises(BadRequestError, match="synchronous"):
            await client.responses.cancel(second.id)


async def test_the_openai_clients_stream_ends_with_the_whole_response() -> None:
    async with served(greeting()) as app, client_of(app) as client:
        async with client.responses.stream(model="", input="hi") as events:
            types = [event.type async for event in events]
            final = await events.get_final_response()
        assert types[:2] == ["response.created", "response.in_progress"]
        assert final.output_text == TEXT
        assert (await client.responses.retrieve(final.id)).output_text == TEXT


async def test_the_openai_client_waits_for_the_background() -> None:
    gate = Gate()
    async with served(greeting(gate=gate.passed)) as app, client_of(app) as client:
        started = await client.responses.create(input="hi", background=True)
        assert started.status == "queued"
        cancelled = await client.responses.cancel(started.id)
        assert cancelled.status == "cancelled"
        other = await client.responses.create(input="hi", background=True)
        gate.open()
        while (found := await client.responses.retrieve(other.id)).status != "completed":
            assert found.status in ("queued", "in_progress")
        assert found.output_text == TEXT


async def test_the_openai_client_counts_before_it_asks() -> None:
    async with served(greeting()) as app, client_of(app) as client:
        fields: Any = {"input": "two", "instructions": "Be brief."}
        first = await client.responses.create(input="one")
        counted = await client.responses.input_tokens.count(previous_response_id=first.id, **fields)
        asked = await client.responses.create(previous_response_id=first.id, **fields)
        assert asked.usage is not None
        assert counted.input_tokens == asked.usage.input_tokens


async def test_the_openai_client_sees_errors() -> None:
    async with served(greeting(context_window=200)) as app, client_of(app) as client:
        with pytest.raises(BadRequestError) as refused:
            await client.responses.create(input="a" * 300)
        assert refused.value.code == "context_length_exceeded"
        with pytest.raises(NotFoundError) as missing:
            await client.responses.create(input="hi", previous_response_id="resp_x")
        assert missing.value.code == "previous_response_not_found"
        app.backend.fail("the engine died")
        with pytest.raises(InternalServerError):
            await client.responses.create(input="hi")
