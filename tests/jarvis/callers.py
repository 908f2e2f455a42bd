"""One way to call both engines of the library, so that one test body is about both."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from core.events import AnswerPart
from jarvis import AsyncEngine, ChatResult, Completion, Engine

Tools = list[dict[str, Any]]


class Caller(Protocol):
    """Each call returns when it is done."""

    async def is_available(self) -> bool: ...

    async def generate(self, prompt: str, **options: Any) -> Completion: ...

    async def chat(self, messages: Any, *tools: Any, **options: Any) -> ChatResult: ...

    async def with_tools(self, prompt: str, *tools: Any, **options: Any) -> ChatResult: ...

    async def stream(self, prompt: str, **options: Any) -> tuple[list[str], Completion]: ...

    async def chat_stream(
        self, messages: Any, *tools: Any, **options: Any
    ) -> tuple[list[AnswerPart], ChatResult]: ...

    async def leave_midway(self, prompt: str, **options: Any) -> str:
        """The first part of an answer that nobody waits for."""
        ...


class AsyncCaller:
    """On the loop of the engine."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_available = engine.is_available

    async def generate(self, prompt: str, **options: Any) -> Completion:
        return await self.engine.generate(prompt, **options)

    async def chat(self, messages: Any, *tools: Any, **options: Any) -> ChatResult:
        return await self.engine.chat(messages, *tools, **options)

    async def with_tools(self, prompt: str, *tools: Any, **options: Any) -> ChatResult:
        return await self.engine.generate_with_tools(prompt, *tools, **options)

    async def stream(self, prompt: str, **options: Any) -> tuple[list[str], Completion]:
        async with self.engine.stream(prompt, **options) as stream:
            return [part async for part in stream], await stream.result()

    async def chat_stream(
        self, messages: Any, *tools: Any, **options: Any
    ) -> tuple[list[AnswerPart], ChatResult]:
        async with self.engine.chat_stream(messages, *tools, **options) as stream:
            return [part async for part in stream], await stream.result()

    async def leave_midway(self, prompt: str, **options: Any) -> str:
        async for part in self.engine.stream(prompt, **options):
            return part
        raise AssertionError("there was no part")


class ThreadCaller:
    """Each call in a thread of its own, as programs with threads do."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def is_available(self) -> bool:
        return await asyncio.to_thread(self.engine.is_available)

    async def generate(self, prompt: str, **options: Any) -> Completion:
        return await asyncio.to_thread(self.engine.generate, prompt, **options)

    async def chat(self, messages: Any, *tools: Any, **options: Any) -> ChatResult:
        return await asyncio.to_thread(self.engine.chat, messages, *tools, **options)

    async def with_tools(self, prompt: str, *tools: Any, **options: Any) -> ChatResult:
        call = self.engine.generate_with_tools
        return await asyncio.to_thread(call, prompt, *tools, **options)

    async def stream(self, prompt: str, **options: Any) -> tuple[list[str], Completion]:
        def read() -> tuple[list[str], Completion]:
            with self.engine.stream(prompt, **options) as stream:
                return list(stream), stream.result()

        return await asyncio.to_thread(read)

    async def chat_stream(
        self, messages: Any, *tools: Any, **options: Any
    ) -> tuple[list[AnswerPart], ChatResult]:
        def read() -> tuple[list[AnswerPart], ChatResult]:
            with self.engine.chat_stream(messages, *tools, **options) as stream:
                return list(stream), stream.result()

        return await asyncio.to_thread(read)

    async def leave_midway(self, prompt: str, **options: Any) -> str:
        def read() -> str:
            for part in self.engine.stream(prompt, **options):
                return part
            raise AssertionError("there was no part")

        return await asyncio.to_thread(read)


def function(name: str, **properties: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as OpenAI writes it; all its arguments are required."""
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


GET_WEATHER = function("get_weather", city={"type": "string"})
