"""Owns an answer that several can give: the first that begins it gives it whole.

Knows neither engines nor servers: each attempt is passed in.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from core.errors import (
    EngineFailed,
    EngineUnavailable,
    JarvisError,
    QueueFull,
    RequestError,
    ServerStopping,
    UpstreamFailed,
)
from core.events import GenerationEvent
from serving.answer_source import AnswerSource

# Refuses, or accepts; no engine works yet. Raises RequestError, or what another attempt follows.
Attempt = Callable[[], Awaitable[AnswerSource]]
# What says nothing of the request: another one may answer it.
PASSED_ON = (EngineUnavailable, EngineFailed, QueueFull, UpstreamFailed)


class AnswerChain:
    """One choice of a request: an AnswerSource that goes from one attempt to the next until the
    first event has come. After it, a failure is the answer's.
    """

    def __init__(self, attempts: Sequence[Attempt], on_pass: Callable[[JarvisError], None]) -> None:
        """`on_pass` is told of each attempt that failed before it began."""
        self._rest = list(attempts)
        self._on_pass = on_pass
        self._source: AnswerSource | None = None
        self._failure: JarvisError | None = None
        self._has_begun = False
        self._has_failed = False

    @property
    def choice(self) -> int:
        return 0

    @property
    def max_tokens(self) -> int | None:
        return None if self._source is None else self._source.max_tokens

    @property
    def num_prompt_tokens(self) -> int:
        return 0 if self._source is None else self._source.num_prompt_tokens

    @property
    def num_completion_tokens(self) -> int:
        return 0 if self._source is None else self._source.num_completion_tokens

    @property
    def queue_s(self) -> float | None:
        return None if self._source is None else self._source.queue_s

    @property
    def num_sent_bytes(self) -> int:
        return 0 if self._source is None else self._source.num_sent_bytes

    async def prepare(self) -> None:
        """The first attempt that is not unavailable at once. Raises RequestError, or the last
        failure.
        """
        while self._rest:
            try:
                self._source = await self._rest.pop(0)()
                return
            except ServerStopping:
                raise
            except PASSED_ON as error:
                self._pass_on(error)
            except RequestError:
                # Who stands in can't take it; the next one may.
                if self._failure is None:
                    raise
        assert self._failure is not None, "a chain has an attempt"
        raise self._failure

    async def events(self) -> AsyncGenerator[GenerationEvent, None]:
        """As every AnswerSource's; to be called after `prepare`."""
        while not self._has_begun:
            async with aclosing(self._events_of_one()) as events:
                async for event in events:
                    yield event
            if not self._has_failed:
                return
            await self.prepare()

    async def _events_of_one(self) -> AsyncGenerator[GenerationEvent, None]:
        """Those of the attempt that was prepared. Its failure is raised once it has begun."""
        assert self._source is not None, "prepared before"
        self._has_failed = False
        try:
            async with aclosing(self._source.events()) as events:
                async for event in events:
                    self._has_begun = True
                    yield event
        except PASSED_ON as error:
            if self._has_begun:
                raise
            self._has_failed = True
            self._pass_on(error)

    def _pass_on(self, error: JarvisError) -> None:
        self._failure = error
        self._on_pass(error)
