"""Owns one answer on its way, for a caller on the event loop. Knows no engine."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

from core.events import (
    AnswerPart,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from jarvis.results import ChatResult, Completion, Fold

PartT = TypeVar("PartT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class View(Generic[PartT, ResultT]):
    """What a stream shows of each event, None for nothing, and what it all makes at the end."""

    part: Callable[[GenerationEvent], PartT | None]
    result: Callable[[Fold], ResultT]


def _text(event: GenerationEvent) -> str | None:
    return event.text or None if isinstance(event, TextDelta) else None


def _part(event: GenerationEvent) -> AnswerPart | None:
    if isinstance(event, TextDelta | ReasoningDelta | ToolCallStarted | ToolCallDelta):
        return event
    return None


TEXT: View[str, Completion] = View(_text, Fold.completion)
PARTS: View[AnswerPart, ChatResult] = View(_part, Fold.chat_result)


class AsyncStream(Generic[PartT, ResultT]):
    """Parts as they come, by `async for`. Nothing runs before the first is asked for.

    Leaving it midway aborts the answer: at once by `async with` or `aclose`, else when the garbage
    collector finds it, which after a `break` is at once too where nobody else holds it.
    """

    def __init__(
        self, events: AsyncGenerator[GenerationEvent, None], view: View[PartT, ResultT]
    ) -> None:
        self._events = events
        self._view = view
        self._fold = Fold()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PartT:
        async for event in self._events:
            self._fold.add(event)
            part = self._view.part(event)
            if part is not None:
                return part
        raise StopAsyncIteration

    async def result(self) -> ResultT:
        """The whole answer, what was read of it before included; waits for what is missing."""
        async for _ in self:
            pass
        return self.folded()

    def folded(self) -> ResultT:
        """The whole answer, once its end was read. Raises RuntimeError where that did not come."""
        if not self._fold.is_over:
            raise RuntimeError("the stream was closed before the answer's end")
        return self._view.result(self._fold)

    async def aclose(self) -> None:
        """Aborts the answer where it has not ended. Idempotent."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
