"""Owns an engine for callers in any thread: the asynchronous one, on a loop of its own."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any, Self, Unpack

from backends.delegate import OpenBackend
from core.errors import EngineUnavailable
from core.events import AnswerPart
from jarvis.async_engine import AsyncEngine
from jarvis.config import EngineConfig
from jarvis.conversations import Messages, Tools
from jarvis.loop_thread import LoopThread, call_at_exit
from jarvis.options import ChatOptions, Options
from jarvis.results import ChatResult, Completion
from jarvis.stream import Stream


class Engine:
    """One engine, from `start` to `close`, or in a `with`. All methods are for any thread, and
    those of several threads run together; an event loop in the caller's thread does not matter.

    One that is not closed is closed when nobody holds it any more, at the interpreter's exit at
    the latest. A process that forks keeps it: its child has none of it.
    """

    def __init__(self, config: EngineConfig, *, open_backend: OpenBackend | None = None) -> None:
        """`open_backend` makes an engine in this process, in place of what the config says."""
        self.config = config
        self._engine = AsyncEngine(config, open_backend=open_backend)
        self._thread: LoopThread | None = None

    def start(self) -> Self:
        """Loads the model; a server is asked when it is needed. Raises ModelLoadError,
        EngineUnavailable, or ConfigurationError for a server that can't be asked.
        """
        if self._thread is not None:
            raise RuntimeError("an engine is started once; make another one")
        thread = self._thread = LoopThread("jarvis-engine", self._engine.close)
        weakref.finalize(self, thread.abandon).atexit = False
        call_at_exit(_closing(weakref.ref(self)))
        try:
            thread.run(self._engine.start)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Ends live requests with an error, and frees what the engine holds. Idempotent."""
        if self._thread is not None:
            self._thread.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def is_available(self) -> bool:
        """Whether a request sent now would be answered: the engine is loaded and alive, or the
        server is reached. `reason` says why not. Never raises.
        """
        if self._thread is None:
            return False
        try:
            return self._thread.run(self._engine.is_available)
        except EngineUnavailable:
            return False

    @property
    def reason(self) -> str | None:
        """Why the engine was not available when asked last; None where it was."""
        refusal = None if self._thread is None else self._thread.refusal
        return refusal or self._engine.reason

    def generate(self, prompt: str, **options: Unpack[Options]) -> Completion:
        """Goes on with a text, as it stands; `chat` answers messages. At most 256 tokens, unless
        `max_tokens` says else.
        """
        return self._started.run(lambda: self._engine.generate(prompt, **options))

    def stream(self, prompt: str, **options: Unpack[Options]) -> Stream[str, Completion]:
        """As `generate`, piece by piece."""
        return Stream(lambda: self._started, self._engine.stream(prompt, **options))

    def chat(
        self,
        messages: Messages,
        tools: Tools | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatResult:
        """Answers messages, as OpenAI writes them; a string is one message of the user."""
        return self._started.run(lambda: self._engine.chat(messages, tools, tool_choice, **options))

    def chat_stream(
        self,
        messages: Messages,
        tools: Tools | None = None,
        tool_choice: str | Mapping[str, Any] | None = None,
        **options: Unpack[ChatOptions],
    ) -> Stream[AnswerPart, ChatResult]:
        """As `chat`, part by part: text, thoughts, and calls of tools."""
        stream = self._engine.chat_stream(messages, tools, tool_choice, **options)
        return Stream(lambda: self._started, stream)

    def generate_with_tools(
        self,
        prompt: str,
        tools: Tools,
        tool_choice: str | Mapping[str, Any] | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatResult:
        """Answers one message of the user, who offers tools: by a text, or by calls of them."""
        return self.chat(prompt, tools, tool_choice, **options)

    @property
    def _started(self) -> LoopThread:
        if self._thread is None:
            raise EngineUnavailable("the engine was not started: use it in a `with`, or start()")
        return self._thread


def _closing(engine: "weakref.ref[Engine]") -> Callable[[], None]:
    def close() -> None:
        found = engine()
        if found is not None:
            found.close()

    return close
