"""Runs step plans on the native objects it owns. Lives on the engine thread; decides nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backends.base import ModelCard
from backends.llama.bindings import (
    LogRoute,
    NativeBatch,
    NativeContext,
    NativeModel,
    NativeSampler,
)
from backends.llama.options import LlamaOptions
from backends.llama.scheduler import StepPlan
from core.sampling import SamplingPlan


@dataclass(frozen=True, slots=True)
class Drawn:
    """The next id of one sequence."""

    key: int
    token_id: int


@dataclass(frozen=True, slots=True)
class _Row:
    key: int
    batch_index: int


class Runner:
    """A loaded model with its KV cache. Raises ModelLoadError when made, EngineFailed when run."""

    def __init__(
        self, options: LlamaOptions, progress: Callable[[float], bool], route: LogRoute
    ) -> None:
        self.model = NativeModel(options, progress, route)
        try:
            self.window = options.window(self.model.trained_window)
            self.num_cells = options.num_cells(self.window)
            self._context = NativeContext(self.model, options, self.num_cells)
        except BaseException:
            self.model.close()
            raise
        self._batch = NativeBatch(options.batch_size)
        self._samplers: dict[int, NativeSampler] = {}

    def describe(self, name: str) -> ModelCard:
        return ModelCard(
            name=name,
            vocabulary=self.model.vocabulary(),
            context_window=self.window,
            chat_template=self.model.metadata("tokenizer.chat_template"),
            is_byte_level=self.model.is_byte_level,
        )

    def begin(self, key: int, plan: SamplingPlan) -> None:
        """Before a sequence's first step; greedy ones need no native sampler."""
        if not plan.is_greedy:
            self._samplers[key] = NativeSampler(plan)

    def forget(self, key: int) -> None:
        sampler = self._samplers.pop(key, None)
        if sampler is not None:
            sampler.close()

    def run(self, plan: StepPlan) -> Sequence[Drawn]:
        """Clears what the plan freed, computes its work, draws an id for each finished prompt."""
        for slot in plan.freed_slots:
            self._context.clear(slot)
        if not plan.work:
            return ()
        rows = self._fill(plan)
        self._context.decode(self._batch, plan.num_tokens)
        return self._draw(rows) if rows else ()

    def close(self) -> None:
        for key in tuple(self._samplers):
            self.forget(key)
        self._batch.close()
        self._context.close()
        self.model.close()

    def _fill(self, plan: StepPlan) -> list[_Row]:
        token_ids: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        rows: list[_Row] = []
        for work in plan.work:
            length = len(work.token_ids)
            token_ids += work.token_ids
            positions += range(work.start, work.start + length)
            slots += [work.slot] * length
            if work.wants_logits:
                rows.append(_Row(work.key, len(token_ids) - 1))
        count = len(token_ids)
        batch = self._batch
        batch.token_ids[:count] = token_ids
        batch.positions[:count] = positions
        batch.slots[:count] = slots
        batch.wants_logits[:count] = 0
        batch.wants_logits[[row.batch_index for row in rows]] = 1
        return rows

    def _draw(self, rows: list[_Row]) -> list[Drawn]:
        best = self._context.logits(len(rows)).argmax(axis=1).tolist()
        return [
            Drawn(row.key, sampler.draw(self._context, row.batch_index))
            if (sampler := self._samplers.get(row.key))
            else Drawn(row.key, greedy_id)
            for row, greedy_id in zip(rows, best, strict=True)
        ]
