"""Reads the events of one request's choices in tasks of their own and hands them on merged.

A slow client costs one list of events, in which neighbouring text of a choice is joined; it stops
nobody. The tasks stand outside the response's cancel scope, so that an abort reaches the engine
however the response ends. Knows no HTTP.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from core.errors import EngineFailed, JarvisError
from core.events import GenerationEvent, TextDelta
from serving.service import Generation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChoiceEvent:
    """An event of the choice with this index."""

    index: int
    event: GenerationEvent


class EventPump:
    """Starts reading when made. `close` it in a finally, whatever happened."""

    def __init__(self, generations: Sequence[Generation]) -> None:
        self._events: list[ChoiceEvent] = []
        self._error: JarvisError | None = None
        self._filled = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._read(index, generation))
            for index, generation in enumerate(generations)
        ]
        self._num_open = len(self._tasks)

    async def take(self) -> list[ChoiceEvent]:
        """Waits for events; an empty list means that all choices have ended. Raises JarvisError."""
        while not self._events and self._error is None and self._num_open:
            self._filled.clear()
            await self._filled.wait()
        if not self._events and self._error is not None:
            raise self._error
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Aborts what has not ended. Needs no await, so that it works while being cancelled."""
        for task in self._tasks:
            task.cancel()

    async def _read(self, index: int, generation: Generation) -> None:
        try:
            async with aclosing(generation.events()) as events:
                async for event in events:
                    self._add(ChoiceEvent(index, event))
        except JarvisError as error:
            self._error = self._error or error
        except Exception:
            logger.exception("choice=%d failed", index)
            self._error = self._error or EngineFailed("the server met an internal error")
        finally:
            self._num_open -= 1
            self._filled.set()

    def _add(self, new: ChoiceEvent) -> None:
        last = self._events[-1] if self._events else None
        if (
            last is not None
            and last.index == new.index
            and isinstance(last.event, TextDelta)
            and isinstance(new.event, TextDelta)
        ):
            merged = TextDelta(
                last.event.text + new.event.text, last.event.num_tokens + new.event.num_tokens
            )
            self._events[-1] = ChoiceEvent(new.index, merged)
        else:
            self._events.append(new)
        self._filled.set()
