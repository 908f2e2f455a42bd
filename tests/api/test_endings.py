"""Every accepted request ends exactly once: done, failed, or gone; streamed or not."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openai import APIError, AsyncOpenAI, BadRequestError, InternalServerError, NotFoundError

from api.app import create_app
from backends.base import Backend, TokenRequest
from backends.delegate import Delegate, OpenBackend
from backends.scripted import END_ID, ScriptedBackend
from core.lifecycle import LoadProgress
from serving.service import GenerationService, ServingOptions
from tests.api.reply_lines import reply_lines
from tests.api.served import HELLO, Served, error_of, served
from tests.api.streams import Gate, frames, payloads
from tests.engines import listening, settings_for

TEXT = "Grüße 👩‍🚀 ok"


def words(_: TokenRequest) -> Iterator[int]:
    yield from TEXT.encode()
    yield END_ID


def endless(_: TokenRequest) -> Iterator[int]:
    while True:
        yield from b"word "


def gated(script: Callable[[TokenRequest], Iterator[int]], gate: Gate) -> ScriptedBackend:
    return ScriptedBackend(script, gate=gate.passed)


async def stream(app: Served, **fields: Any) -> list[str]:
    body = {"messages": HELLO, "stream": True} | fields
    async with app.client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        assert response.headers["x-accel-buffering"] == "no"
        return await frames(response)


async def test_a_stream_has_role_text_end_usage_and_done_in_this_order() -> None:
    async with served(ScriptedBackend(words)) as app:
        received = await stream(app, stream_options={"include_usage": True})
        plain = (await app.chat()).json()
    assert received[-1] == "data: [DONE]"
    chunks = payloads(received)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == plain["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]]
    assert "".join(deltas) == TEXT == plain["choices"][0]["message"]["content"]
    assert "\ufffd" not in "".join(deltas)


async def test_a_stream_without_options_has_no_usage() -> None:
    async with served(ScriptedBackend(words)) as app:
        assert all("usage" not in chunk for chunk in payloads(await stream(app)))


async def test_text_comes_while_the_engine_still_works() -> None:
    gate = Gate(num_open=4)
    async with served(gated(words, gate)) as app:
        body = {"messages": HELLO, "stream": True}
        async with app.client.stream("POST", "/v1/chat/completions", json=body) as response:
            parts = response.aiter_text()
            text = ""
            while '"content":"r' not in text and "Gr" not in text:
                text += await anext(parts)
            gate.open()
            async for part in parts:
                text += part
        assert text.endswith("data: [DONE]\n\n")


async def test_several_prompts_stream_side_by_side() -> None:
    async with served(ScriptedBackend(words)) as app:
        body = {"prompt": ["a", "b"], "stream": True, "max_tokens": 6}
        async with app.client.stream("POST", "/v1/completions", json=body) as response:
            chunks = payloads(await frames(response))
    for index in (0, 1):
        own = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
        assert "".join(choice["text"] for choice in own) == "Grüß"
        assert [c["finish_reason"] for c in own if c["finish_reason"]] == ["length"]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_failure_before_the_first_token_is_told_by_status(is_stream: bool) -> None:
    gate = Gate()
    backend = gated(words, gate)
    async with served(backend) as app:
        asking = asyncio.create_task(app.chat(stream=is_stream))
        await gate.is_waited_for.wait()
        backend.fail("the engine died")
        gate.open()
        response = await asking
        assert response.status_code == 500
        assert error_of(response)["code"] == "engine_failed"


async def test_a_failure_after_the_first_byte_is_an_error_event_and_the_end() -> None:
    gate = Gate(num_open=3)
    backend = gated(words, gate)
    async with served(backend) as app:
        streaming = asyncio.create_task(stream(app))
        await gate.is_waited_for.wait()
        backend.fail("the engine died")
        gate.open()
        received = await streaming
    assert received[-1].startswith("event: error\ndata: ")
    assert payloads(received)[-1]["error"]["code"] == "engine_failed"
    assert "data: [DONE]" not in received


async def test_a_failed_engine_refuses_and_says_why() -> None:
    backend = ScriptedBackend(words)
    async with served(backend) as app:
        assert (await app.chat()).status_code == 200
        backend.fail("the engine died")
        ready = await app.client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["state"] == "failed"
        assert ready.json()["reason"] == "the engine died"
        refused = await app.chat()
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert error_of(refused)["type"] == "service_unavailable"
        assert (await app.client.get("/health")).status_code == 200


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("num_open", [0, 5])
async def test_a_client_that_goes_ends_its_sequence(is_stream: bool, num_open: int) -> None:
    gate = Gate(num_open)
    backend = gated(endless, gate)
    async with served(backend) as app:
        asking = asyncio.create_task(app.chat(stream=is_stream, max_tokens=2000))
        await gate.is_waited_for.wait()
        assert backend.num_live == 1
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await gate.is_left.wait()
        assert backend.num_live == 0


async def test_one_line_ends_each_request_and_holds_no_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="api")
    async with served(ScriptedBackend(words)) as app:
        await app.chat(messages=[{"role": "user", "content": "a secret"}])
        await stream(app)
    lines = reply_lines(caplog)
    assert len(lines) == 2
    assert all("outcome=done" in line and "finish=stop" in line for line in lines)
    assert not any("secret" in line or "Gr" in line for line in lines)


async def test_the_openai_client_chats_streams_and_sees_errors() -> None:
    async with (
        served(ScriptedBackend(words, context_window=500)) as app,
        AsyncOpenAI(base_url=f"{app.client.base_url}/v1", api_key="x", max_retries=0) as client,
    ):
        chat = client.chat.completions
        messages: Any = HELLO
        answer = await chat.create(model="jarvis-tiny", messages=messages)
        assert answer.choices[0].message.content == TEXT
        text = ""
        async for chunk in await chat.create(model="", messages=messages, stream=True):
            text += chunk.choices[0].delta.content or ""
        assert text == TEXT
        completion = await client.completions.create(model="jarvis-tiny", prompt=["a", "b"])
        assert [choice.index for choice in completion.choices] == [0, 1]
        with pytest.raises(NotFoundError):
            await chat.create(model="other", messages=messages)
        with pytest.raises(BadRequestError) as refused:
            await chat.create(model="", messages=messages, max_tokens=600)
        assert refused.value.code == "context_length_exceeded"


async def test_the_openai_client_sees_a_failure_in_a_stream() -> None:
    gate = Gate(num_open=3)
    backend = gated(words, gate)
    async with (
        served(backend) as app,
        AsyncOpenAI(base_url=f"{app.client.base_url}/v1", api_key="x", max_retries=0) as client,
    ):
        messages: Any = HELLO
        chunks = await client.chat.completions.create(model="", messages=messages, stream=True)
        await gate.is_waited_for.wait()
        backend.fail("the engine died")
        gate.open()
        with pytest.raises(APIError, match="the engine died"):
            async for _ in chunks:
                pass
        with pytest.raises(InternalServerError):
            await client.chat.completions.create(model="", messages=messages)


async def test_a_loading_engine_refuses_and_shows_its_progress() -> None:
    started: asyncio.Future[Backend] = asyncio.get_running_loop().create_future()

    async def open_backend(report: Callable[[LoadProgress], None]) -> Backend:
        report(LoadProgress("loading the model", 0.5))
        return await started

    async with loading(open_backend) as client:
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["progress"] == {"step": "loading the model", "fraction": 0.5}
        refused = await client.post("/v1/chat/completions", json={"messages": HELLO})
        assert refused.status_code == 503
        assert "retry-after" in refused.headers
        assert (await client.get("/health")).status_code == 200


def loading(open_backend: OpenBackend) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    """The application while its engine is being opened."""
    delegate = Delegate("llama_cpp", open_backend)
    service = GenerationService(delegate, ServingOptions("chatml"))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        delegate.start(service.adopt)
        await asyncio.sleep(0)
        yield
        await delegate.close()

    @asynccontextmanager
    async def opened() -> AsyncIterator[httpx.AsyncClient]:
        app = create_app(settings_for("llama_cpp"), service, lifespan)
        async with listening(app) as url, httpx.AsyncClient(base_url=url) as client:
            yield client

    return opened()
