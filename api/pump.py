"""Reads the events of one request's choices in tasks of their own and hands them on merged.

A slow client costs a list of events a choice, in which neighbouring text is joined; it stops
nobody. The tasks stand outside the response's cancel scope, so that an abort reaches the engine
however the response ends. Knows no HTTP.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing

from core.errors import EngineFailed, JarvisError
from core.events import GenerationEvent, ReasoningDelta, TextDelta, ToolCallDelta
from serving.answer_source import AnswerSource

logger = logging.getLogger(__name__)

# More of them in one piece would take the event loop for too long where they are shown.
_MOST_SCORES = 128

# Choice index → its events in order, for the choices of which something came.
Arrived = dict[int, list[GenerationEvent]]


class EventPump:
    """Starts reading when made. `close` it in a finally, whatever happened.

    `running` holds the tasks until they are done, which is after `close`: the event loop itself
    would let go of a task that waits.
    """

    def __init__(
        self, generations: Sequence[AnswerSource], running: set[asyncio.Task[None]]
    ) -> None:
        self._arrived: Arrived = {}
        self._error: JarvisError | None = None
        self._taker: asyncio.Future[None] | None = None
        self._num_open = len(generations)
        self._tasks = [
            asyncio.create_task(self._read(index, generation))
            for index, generation in enumerate(generations)
        ]
        for task in self._tasks:
            running.add(task)
            task.add_done_callback(running.discard)

    async def take(self) -> Arrived:
        """Waits for events; none at all means that all choices have ended. Raises JarvisError.

        One taker at a time.
        """
        while not self._arrived and self._error is None and self._num_open:
            self._taker = asyncio.get_running_loop().create_future()
            await self._taker
        if not self._arrived and self._error is not None:
            raise self._error
        arrived, self._arrived = self._arrived, {}
        return arrived

    def fail(self, error: JarvisError) -> None:
        """Aborts what has not ended; the taker is told why."""
        if self._num_open and self._error is None:
            self._error = error
            self.close()
            self._wake_taker()

    def close(self) -> None:
        """Aborts what has not ended. Needs no await, so that it works while being cancelled."""
        for task in self._tasks:
            task.cancel()

    async def _read(self, index: int, generation: AnswerSource) -> None:
        try:
            async with aclosing(generation.events()) as events:
                async for event in events:
                    self._add(index, event)
        except JarvisError as error:
            self._error = self._error or error
        except Exception:
            logger.exception("choice=%d failed", index)
            self._error = self._error or EngineFailed("the server met an internal error")
        finally:
            self._num_open -= 1
            self._wake_taker()

    def _add(self, index: int, event: GenerationEvent) -> None:
        events = self._arrived.get(index)
        if events is None:
            self._arrived[index] = [event]
            self._wake_taker()
            return
        joined = _joined(events[-1], event)
        if joined is None:
            events.append(event)
        else:
            events[-1] = joined

    def _wake_taker(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)


def _joined(last: GenerationEvent, event: GenerationEvent) -> GenerationEvent | None:
    """One event for two neighbours that say one thing, None where they don't."""
    match last, event:
        case TextDelta(), TextDelta() if len(last.scores) + len(event.scores) <= _MOST_SCORES:
            return TextDelta(last.text + event.text, last.scores + event.scores)
        case ReasoningDelta(), ReasoningDelta():
            return ReasoningDelta(last.text + event.text)
        case ToolCallDelta(), ToolCallDelta() if last.index == event.index:
            return ToolCallDelta(last.index, last.arguments + event.arguments)
        case _:
            return None
