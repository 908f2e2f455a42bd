"""Owns which inputs are computed next: pure, ids in and batches out. Knows no native code."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from backends.embedding import Vector


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the job `key`, `index` among the job's."""

    key: int
    index: int
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Inputs are put together up to `num_tokens`; a longer one, up to the window, goes alone."""

    num_tokens: int
    num_inputs: int


@dataclass(slots=True)
class _Job:
    inputs: Sequence[tuple[int, ...]]
    vectors: list[Vector | None]
    num_begun: int = 0
    num_done: int = 0

    @property
    def is_begun(self) -> bool:
        return self.num_begun == len(self.inputs)


class EmbedderQueue:
    """Jobs take turns, one input each, so that a large one does not hold up a small one."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._jobs: dict[int, _Job] = {}
        self._turns: deque[int] = deque()

    @property
    def has_work(self) -> bool:
        return bool(self._turns)

    def submit(self, key: int, inputs: Sequence[tuple[int, ...]]) -> None:
        """`inputs` has at least one."""
        self._jobs[key] = _Job(inputs, [None] * len(inputs))
        self._turns.append(key)

    def abort(self, key: int) -> None:
        """What has not begun never will; unknown and finished keys are fine."""
        if self._jobs.pop(key, None) is not None and key in self._turns:
            self._turns.remove(key)

    def next_batch(self) -> list[Input]:
        """Empty where there is no work."""
        batch: list[Input] = []
        room = self._limits.num_tokens
        while self._turns and len(batch) < self._limits.num_inputs:
            key = self._turns[0]
            job = self._jobs[key]
            token_ids = job.inputs[job.num_begun]
            if batch and len(token_ids) > room:
                break
            batch.append(Input(key, job.num_begun, token_ids))
            room -= len(token_ids)
            job.num_begun += 1
            self._turns.popleft()
            if not job.is_begun:
                self._turns.append(key)
        return batch

    def accept(self, done: Input, vector: Vector) -> list[Vector] | None:
        """All vectors of the job, in order, with its last one; None before, and once aborted."""
        job = self._jobs.get(done.key)
        if job is None:
            return None
        job.vectors[done.index] = vector
        job.num_done += 1
        if job.num_done < len(job.inputs):
            return None
        del self._jobs[done.key]
        return [each for each in job.vectors if each is not None]
