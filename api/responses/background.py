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
from api.responses.records import Record, made_record
from core.errors import EngineFailed, JarvisError, QueueFull
from core.observation import Outcome
from serving.answer_source import AnswerSource
from serving.shares import Share, Shares

MAX_RUNNING = 256
# Of the JSON of what they hold: a request may hold far more than reaches the model.
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class _Run:
    """One under way: what stands before its output, each as JSON, and the task that makes it."""

    answer: ResponseAnswer
    items: tuple[bytes, ...]
    task: asyncio.Task[None]
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
        self._places = Shares(MAX_RUNNING, "background responses")
        self._bytes = Shares(max_bytes, "bytes of background responses")
        self._readers = readers
        self._runs: dict[str, _Run] = {}

    def start(
        self,
        answer: ResponseAnswer,
        generations: Sequence[AnswerSource],
        items: tuple[bytes, ...],
        stay: Stay,
    ) -> None:
        """`items` as `records.encoded` has them. Raises QueueFull where too many are under way, or
        too many of one account; then nothing stays.
        """
        owner = stay.watch.account
        try:
            shares = self._admitted(answer, items, owner)
        except BaseException:
            stay.end()
            raise
        task = asyncio.create_task(self._make(answer, generations, stay))
        # Also one that is cancelled before its first step has ended.
        task.add_done_callback(lambda _: self._ended(answer.id, shares, stay))
        self._runs[answer.id] = _Run(answer, items, task, owner)

    def _admitted(
        self, answer: ResponseAnswer, items: tuple[bytes, ...], owner: str
    ) -> tuple[Share, Share]:
        """Its place, and the bytes of what it holds."""
        num_bytes = sum(map(len, items)) + len(msgspec.json.encode(answer.whole()))
        place = self._places.take(owner, 1)
        try:
            return place, self._bytes.take(owner, num_bytes)
        except QueueFull:
            place.end()
            raise

    def find(self, response_id: str) -> Record | None:
        run = self._runs.get(response_id)
        return None if run is None else made_record(run.answer.whole(), run.items, run.owner)

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

    def _ended(self, response_id: str, shares: tuple[Share, Share], stay: Stay) -> None:
        self._runs.pop(response_id, None)
        for share in shares:
            share.end()
        log_answer(stay.watch.end(Outcome.GONE))
        stay.end()
