"""Owns responses that are made while nobody waits: they run, can be asked for, and cancelled."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from api.pump import EventPump
from api.request_log import RequestLog
from api.responses.answer import ResponseAnswer
from api.responses.records import Record
from api.schemas.responses.items import Item
from core.errors import EngineFailed, EngineUnavailable, JarvisError
from serving.generation import Generation

MAX_RUNNING = 256


@dataclass(frozen=True, slots=True)
class _Run:
    """One under way: what stands before its output, and the task that makes it."""

    answer: ResponseAnswer
    items: Sequence[Item]
    task: asyncio.Task[None]


class BackgroundRuns:
    """Responses under way, by id. One that ends has been kept by then, and leaves."""

    def __init__(self, readers: set[asyncio.Task[None]]) -> None:
        """`readers` holds the tasks that read from the engine: see `api/pump.py`."""
        self._readers = readers
        self._runs: dict[str, _Run] = {}

    def start(
        self, answer: ResponseAnswer, generations: Sequence[Generation], items: Sequence[Item]
    ) -> None:
        """Raises EngineUnavailable where too many are under way."""
        if len(self._runs) >= MAX_RUNNING:
            raise EngineUnavailable(
                f"{MAX_RUNNING} background responses are under way, as many as may be"
            )
        task = asyncio.create_task(self._make(answer, generations))
        self._runs[answer.id] = _Run(answer, items, task)

    def find(self, response_id: str) -> Record | None:
        run = self._runs.get(response_id)
        return None if run is None else Record(run.answer.whole(), list(run.items))

    def cancel(self, response_id: str) -> None:
        """It is kept as far as it came."""
        run = self._runs.get(response_id)
        if run is not None:
            run.answer.cancel()
            run.task.cancel()

    def forget(self, response_id: str) -> bool:
        """Whether there was one. It is not kept."""
        run = self._runs.pop(response_id, None)
        if run is not None:
            run.answer.keep_nothing()
            run.task.cancel()
        return run is not None

    async def close(self) -> None:
        """What was under way has failed."""
        runs = list(self._runs.values())
        for run in runs:
            run.answer.fail(EngineFailed("the server was stopped"))
            run.task.cancel()
        await asyncio.gather(*(run.task for run in runs), return_exceptions=True)

    async def _make(self, answer: ResponseAnswer, generations: Sequence[Generation]) -> None:
        pump = EventPump(generations, self._readers)
        log = RequestLog(answer.id, generations)
        outcome = "gone"
        try:
            while arrived := await pump.take():
                log.see(arrived)
                answer.add(arrived)
            outcome = "done"
        except JarvisError as error:
            outcome = "failed"
            answer.fail(error)
        finally:
            pump.close()
            log.end(outcome)
            self._runs.pop(answer.id, None)
