"""Owns responses that are made while nobody waits: they run, can be asked for, and cancelled."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from api.cutoff import Cutoff
from api.pump import EventPump
from api.reply_log import log_answer
from api.request_watch import RequestWatch, outcome_of
from api.responses.answer import ResponseAnswer
from api.responses.records import Record
from api.schemas.responses.items import Item
from core.errors import EngineFailed, EngineUnavailable, JarvisError
from core.observation import Outcome
from serving.answer_source import AnswerSource

MAX_RUNNING = 256
# Of the JSON of what they hold: a request may hold far more than reaches the model.
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class _Run:
    """One under way: what stands before its output, and the task that makes it."""

    answer: ResponseAnswer
    items: Sequence[Item]
    task: asyncio.Task[None]
    num_bytes: int
    owner: str


@dataclass(frozen=True, slots=True)
class Stay:
    """What one holds of the server after its request was replied to. `end` is called once."""

    watch: RequestWatch
    cutoff: Cutoff
    end: Callable[[], None]


class BackgroundRuns:
    """Responses under way, by id. One that ends has been kept by then, and leaves."""

    def __init__(self, readers: set[asyncio.Task[None]], max_bytes: int = MAX_BYTES) -> None:
        """`readers` holds the tasks that read from the engine: see `api/pump.py`."""
        self._max_bytes = max_bytes
        self._readers = readers
        self._runs: dict[str, _Run] = {}
        self._num_bytes = 0

    def start(
        self,
        answer: ResponseAnswer,
        generations: Sequence[AnswerSource],
        items: Sequence[Item],
        stay: Stay,
    ) -> None:
        """Raises EngineUnavailable where too many are under way; then nothing stays."""
        try:
            num_bytes = self._admitted(answer, items)
        except BaseException:
            stay.end()
            raise
        task = asyncio.create_task(self._make(answer, generations, stay))
        # Also one that is cancelled before its first step has ended.
        task.add_done_callback(lambda _: _ended(stay))
        self._runs[answer.id] = _Run(answer, items, task, num_bytes, stay.watch.account)
        self._num_bytes += num_bytes

    def _admitted(self, answer: ResponseAnswer, items: Sequence[Item]) -> int:
        """The bytes of what it holds."""
        if len(self._runs) >= MAX_RUNNING:
            raise EngineUnavailable(
                f"{MAX_RUNNING} background responses are under way, as many as may be"
            )
        num_bytes = len(msgspec.json.encode((items, answer.whole())))
        if self._runs and self._num_bytes + num_bytes > self._max_bytes:
            raise EngineUnavailable(
                f"the background responses under way hold {self._num_bytes} bytes and this one"
                f" {num_bytes}; allowed are {self._max_bytes} together"
            )
        return num_bytes

    def find(self, response_id: str) -> Record | None:
        run = self._runs.get(response_id)
        return None if run is None else Record(run.answer.whole(), list(run.items), run.owner)

    def cancel(self, response_id: str) -> None:
        """It is kept as far as it came."""
        run = self._runs.get(response_id)
        if run is not None:
            run.answer.cancel()
            run.task.cancel()

    def forget(self, response_id: str) -> bool:
        """Whether there was one. It is not kept."""
        run = self._removed(response_id)
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

    async def _make(
        self,
        answer: ResponseAnswer,
        generations: Sequence[AnswerSource],
        stay: Stay,
    ) -> None:
        pump = EventPump(generations, self._readers)
        stay.cutoff.on_cut(pump.fail)
        outcome = Outcome.GONE
        try:
            while arrived := await pump.take():
                stay.watch.see(arrived)
                answer.add(arrived)
            outcome = Outcome.DONE
        except JarvisError as error:
            outcome = outcome_of(error)
            answer.fail(error)
        finally:
            pump.close()
            stay.watch.end(outcome)
            self._removed(answer.id)

    def _removed(self, response_id: str) -> _Run | None:
        run = self._runs.pop(response_id, None)
        if run is not None:
            self._num_bytes -= run.num_bytes
        return run


def _ended(stay: Stay) -> None:
    log_answer(stay.watch.end(Outcome.GONE))
    stay.end()
