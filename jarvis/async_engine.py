"""Owns an engine for callers on an event loop: its life, and the calls that it answers."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self, Unpack

from backends.delegate import OpenBackend
from core.errors import EngineUnavailable
from core.events import AnswerPart, GenerationEvent
from core.requests import GenerationRequest
from jarvis.answering import Answering
from jarvis.async_stream import PARTS, TEXT, AsyncStream
from jarvis.config import EngineConfig
from jarvis.conversations import Messages, Tools, read_conversation, read_tool_choice
from jarvis.local import LocalEngine
from jarvis.options import (
    DEFAULT_MAX_TOKENS,
    ChatOptions,
    Options,
    refuse_unknown,
    request_of,
)
from jarvis.results import ChatResult, Completion


class AsyncEngine:
    """One engine, from `start` to `close`, or in an `async with`. Belongs to one event loop.

    All requests under way run together. Errors are JarvisErrors; a misspelt option is a TypeError.
    """

    def __init__(self, config: EngineConfig, *, open_backend: OpenBackend | None = None) -> None:
        """`open_backend` makes an engine in this process, in place of what the config says."""
        self.config = config
        self._open_backend = open_backend
        self._answering: Answering | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reason: str | None = "the engine was not started"

    async def start(self) -> Self:
        """Loads the model; a server is asked when it is needed. Raises ModelLoadError,
        EngineUnavailable, or ConfigurationError for a server that can't be asked.
        """
        if self._loop is not None:
            raise RuntimeError("an engine is started once; make another one")
        self._loop = asyncio.get_running_loop()
        self._answering = self._made()
        try:
            await self._answering.start()
        except BaseException:
            await self.close()
            raise
        self._reason = None
        return self

    async def close(self) -> None:
        """Ends live requests with an error, and frees what the engine holds. Idempotent."""
        answering, self._answering = self._answering, None
        self._reason = "the engine is closed"
        if answering is not None:
            await answering.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def is_available(self) -> bool:
        """Whether a request sent now would be answered: the engine is loaded and alive, or the
        server is reached. `reason` says why not. Never raises.
        """
        if self._answering is not None:
            try:
                self._reason = await self._answering.unavailability()
            # Whatever it is, a request would meet it too.
            except Exception as error:
                self._reason = str(error) or type(error).__name__
        return self._answering is not None and self._reason is None

    @property
    def reason(self) -> str | None:
        """Why the engine was not available when asked last; None where it was."""
        return self._reason

    async def generate(self, prompt: str, **options: Unpack[Options]) -> Completion:
        """Goes on with a text, as it stands; `chat` answers messages. At most 256 tokens, unless
        `max_tokens` says else.
        """
        return await self.stream(prompt, **options).result()

    def stream(self, prompt: str, **options: Unpack[Options]) -> AsyncStream[str, Completion]:
        """As `generate`, piece by piece."""
        return AsyncStream(self._continued(prompt, options), TEXT)

    async def chat(
        self,
        messages: Messages,
        tools: Tools | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatResult:
        """Answers messages, as OpenAI writes them; a string is one message of the user."""
        return await self.chat_stream(messages, tools, tool_choice, **options).result()

    def chat_stream(
        self,
        messages: Messages,
        tools: Tools | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream[AnswerPart, ChatResult]:
        """As `chat`, part by part: text, thoughts, and calls of tools."""
        return AsyncStream(self._answered(messages, tools, tool_choice, options), PARTS)

    async def generate_with_tools(
        self,
        prompt: str,
        tools: Tools,
        tool_choice: str | Mapping[str, Any] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatResult:
        """Answers one message of the user, who offers tools: by a text, or by calls of them."""
        return await self.chat(prompt, tools, tool_choice, **options)

    async def _continued(
        self, prompt: str, options: Options
    ) -> AsyncGenerator[GenerationEvent, None]:
        refuse_unknown(options, Options)
        if not isinstance(prompt, str):
            raise TypeError(f"the prompt is a {type(prompt).__name__}; messages are for chat()")
        given: Options = {**options}
        if given.get("max_tokens") is None:
            given["max_tokens"] = DEFAULT_MAX_TOKENS
        request = request_of(prompt, given)
        async with aclosing(self._events(request)) as events:
            async for event in events:
                yield event

    async def _answered(
        self,
        messages: Messages,
        tools: Tools | None,
        tool_choice: str | Mapping[str, Any] | None,
        options: ChatOptions,
    ) -> AsyncGenerator[GenerationEvent, None]:
        refuse_unknown(options, ChatOptions)
        conversation = read_conversation(messages, tools, options.get("chat_template_kwargs"))
        is_parallel = options.get("parallel_tool_calls") is not False
        chosen = read_tool_choice(tool_choice, conversation.tools, is_parallel=is_parallel)
        async with aclosing(self._events(request_of(conversation, options, chosen))) as events:
            async for event in events:
                yield event

    def _events(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        if self._answering is None:
            is_new = self._loop is None
            remedy = "use it in a `with`, or call start()" if is_new else "make another one"
            raise EngineUnavailable(f"{self._reason}: {remedy}")
        if asyncio.get_running_loop() is not self._loop:
            raise EngineUnavailable("the engine belongs to another event loop: start one in each")
        return self._answering.answer(request)

    def _made(self) -> Answering:
        config = self.config
        if config.plan is None:
            return LocalEngine(config.settings, self._open_backend)
        # What speaks HTTP is loaded where it is needed.
        from jarvis.remote import RemoteEngine

        return RemoteEngine(config.plan, config.model)
