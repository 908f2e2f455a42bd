"""A server that knows no tools: they are explained to it, and its answers are read for calls."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from core.errors import UpstreamRefused
from jarvis import AsyncEngine, EngineConfig, FinishReason, TextDelta, ToolCallStarted
from tests.engines import Engine, listening, serve
from tests.jarvis.callers import GET_WEATHER, function

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

WEATHER = "What is the weather in Paris?"
NO_TOOLS = {"error": {"message": "this model has no tools", "type": "invalid_request_error"}}


@dataclass
class Toolless:
    """A server before ours that passes on what has no tools. `bodies` are all that came."""

    engine: AsyncEngine
    bodies: list[dict[str, Any]] = field(default_factory=list)


@asynccontextmanager
async def toolless(llama: Engine) -> AsyncIterator[Toolless]:
    app, bodies = FastAPI(), list[dict[str, Any]]()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        bodies.append(await request.json())
        if "tools" in bodies[-1]:
            return JSONResponse(NO_TOOLS, 400)
        client: httpx.AsyncClient = app.state.client
        reply = await client.post("/v1/chat/completions", json=bodies[-1])
        if reply.status_code != 200:
            return Response(reply.content, reply.status_code, media_type="application/json")
        return StreamingResponse(iter([reply.content]), media_type="text/event-stream")

    async with (
        serve(llama.backend, "llama_cpp", "chatml") as url,
        httpx.AsyncClient(base_url=url) as app.state.client,
        listening(app) as toolless_url,
        AsyncEngine(EngineConfig("remote", "jarvis-tiny", base_url=toolless_url)) as engine,
    ):
        yield Toolless(engine, bodies)


async def test_a_call_is_made_all_the_same(llama: Engine) -> None:
    async with toolless(llama) as server:
        ask = server.engine.generate_with_tools
        answer = await ask(WEATHER, [GET_WEATHER], "required", temperature=0, max_tokens=300)
        assert answer.tool_call is not None
        assert answer.tool_call.name == "get_weather"
        assert list(answer.tool_call.arguments) == ["city"]
        assert answer.text == ""
        assert answer.finish_reason in (FinishReason.TOOL_CALLS, FinishReason.LENGTH)
        assert ["tools" in body for body in server.bodies] == [True, False]
        assert "get_weather" in json.dumps(server.bodies[1]["messages"])


async def test_one_tool_by_name_is_called_once(llama: Engine) -> None:
    async with toolless(llama) as server:
        tools = [GET_WEATHER, function("wait", seconds={"enum": [1, 2]})]
        stream = server.engine.chat_stream(
            WEATHER, tools, "wait", parallel_tool_calls=False, temperature=0, max_tokens=300
        )
        parts = [part async for part in stream]
        assert [p.name for p in parts if isinstance(p, ToolCallStarted)] == ["wait"]
        call = (await stream.result()).tool_call
        assert call is not None
        assert call.arguments["seconds"] in (1, 2)


async def test_an_answer_without_a_call_is_its_text(llama: Engine) -> None:
    async with toolless(llama) as server:
        stream = server.engine.chat_stream(
            "Hello", [GET_WEATHER], "none", temperature=0, max_tokens=300
        )
        assert {type(part) async for part in stream} == {TextDelta}
        assert (await stream.result()).text.startswith("Hello! I am Jarvis")


async def test_no_json_is_left_of_an_answer_that_may_call(llama: Engine) -> None:
    async with toolless(llama) as server:
        answer = await server.engine.chat("Hello", [GET_WEATHER], temperature=0, max_tokens=300)
        assert len(server.bodies) == 2
        assert bool(answer.tool_calls) != bool(answer.text)
        assert not answer.text.startswith("{")


async def test_a_refusal_that_is_not_about_tools_stays_what_it_was(llama: Engine) -> None:
    async with toolless(llama) as server:
        with pytest.raises(UpstreamRefused, match="this model has no tools"):
            await server.engine.chat(WEATHER, [GET_WEATHER], max_tokens=100_000)
        assert len(server.bodies) == 2
        with pytest.raises(UpstreamRefused, match="this model has no tools"):
            await server.engine.chat(WEATHER, [GET_WEATHER], json_object=True)
        assert len(server.bodies) == 3
