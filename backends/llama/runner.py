"""Runs step plans on the native objects it owns. Lives on the engine thread; decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import psutil

from backends.base import ModelCard
from backends.llama.bindings import (
    LogRoute,
    NativeBatch,
    NativeContext,
    NativeModel,
    NativeSampler,
)
from backends.llama.limits import MOST_SLOTS, Limits
from backends.llama.memory import MemoryKind
from backends.llama.options import LlamaOptions
from backends.llama.plan import StepPlan, Work
from backends.llama.sizing import Room, Sizes, choose, separated
from core.sampling import SamplingPlan

# Beyond this many running sequences, a batch has no room to compute guesses for nothing.
DRAFTING_SEQUENCES = 2
# As llama.cpp rounds the cells it computes attention over: fewer idle ones would save nothing.
IDLE_CELLS = 256


@dataclass(frozen=True, slots=True)
class Drawn:
    """The next ids of one sequence: one, and one more for each id of a draft that held."""

    key: int
    token_ids: list[int]


@dataclass(frozen=True, slots=True)
class _Rows:
    """The logits of `work`: so many rows, from `first_row`, of batch tokens from `batch_index`."""

    work: Work
    first_row: int
    batch_index: int


class Runner:
    """A loaded model with its KV cache. Raises ModelLoadError when made, EngineFailed when run."""

    def __init__(
        self, options: LlamaOptions, progress: Callable[[float], bool], route: LogRoute
    ) -> None:
        self.model = NativeModel(options, progress, route)
        try:
            room = _room(self.model, options)
            sizes = choose(options.wishes, room)
            self.window = sizes.window
            kind = self.model.memory_facts.kind(sizes.window)
            if kind is MemoryKind.PLAIN:
                sizes = separated(sizes, options.wishes, room)
            self.limits = _limits(options, sizes, kind, room)
            self._context = NativeContext(self.model, options, self.limits, kind.num_holders)
        except BaseException:
            self.model.close()
            raise
        self._batch = NativeBatch(
            self.limits.batch_tokens,
            num_holders=kind.num_holders,
            num_slots=self.limits.num_slots,
        )
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

    def run(self, plan: StepPlan) -> list[Drawn]:
        """Does the plan's operations, computes its work, draws ids where logits were wanted."""
        for operation in plan.operations:
            self._context.apply(operation)
        if not plan.work:
            return []
        rows = self._fill(plan)
        self._context.decode(self._batch, plan.num_tokens)
        return self._draw(rows) if rows else []

    def close(self) -> None:
        for key in tuple(self._samplers):
            self.forget(key)
        self._batch.close()
        self._context.close()
        self.model.close()

    def _fill(self, plan: StepPlan) -> list[_Rows]:
        token_ids: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        wanted: list[int] = []
        rows: list[_Rows] = []
        # llama.cpp computes each run of neighbouring slots by itself.
        for work in sorted(plan.work, key=_slot):
            length = len(work.token_ids)
            token_ids += work.token_ids
            positions += range(work.start, work.start + length)
            slots += [work.slot] * length
            if work.num_rows:
                first = len(token_ids) - work.num_rows
                rows.append(_Rows(work, len(wanted), first))
                wanted += range(first, len(token_ids))
        count = len(token_ids)
        batch = self._batch
        batch.token_ids[:count] = token_ids
        batch.positions[:count] = positions
        batch.put_slots(slots)
        batch.wants_logits[:count] = 0
        batch.wants_logits[wanted] = 1
        return rows

    def _draw(self, rows: list[_Rows]) -> list[Drawn]:
        num_rows = rows[-1].first_row + rows[-1].work.num_rows
        best = self._context.logits(num_rows).argmax(axis=1).tolist()
        return [Drawn(each.work.key, self._follow(each, best)) for each in rows]

    def _follow(self, rows: _Rows, best: list[int]) -> list[int]:
        """The id after the work's last certain one; after each id of the draft that it equals."""
        sampler = self._samplers.get(rows.work.key)
        drawn: list[int] = []
        for offset in range(rows.work.num_rows):
            if sampler is None:
                drawn.append(best[rows.first_row + offset])
            else:
                drawn.append(sampler.draw(self._context, rows.batch_index + offset))
            if offset + 1 < rows.work.num_rows and rows.work.draft[offset] != drawn[-1]:
                break
        return drawn


def _slot(work: Work) -> int:
    return work.slot


def _limits(options: LlamaOptions, sizes: Sizes, kind: MemoryKind, room: Room) -> Limits:
    """A span of a sliding window lacks what has left the window: such prefixes aren't parked."""
    most_slots = MOST_SLOTS // kind.num_holders
    max_running = min(sizes.num_running, most_slots if sizes.slot_cells else most_slots // 2)
    can_park = options.reuses_prefixes and kind is MemoryKind.PLAIN
    return Limits(
        num_cells=sizes.num_cells,
        slot_cells=sizes.slot_cells,
        max_running=max_running,
        most_slots=most_slots,
        batch_tokens=options.batch_size(max_running),
        prefill_tokens=options.prefill_tokens,
        reuse=options.reuses_prefixes and kind.can_share_prefix,
        max_drafting=DRAFTING_SEQUENCES if options.speculates else 0,
        max_idle=IDLE_CELLS,
        max_parked=room.parkable(options.prefix_mib) if can_park else 0,
    )


def _room(model: NativeModel, options: LlamaOptions) -> Room:
    """Weights that are mapped count as free memory until they are read."""
    unread = model.num_bytes if options.uses_mmap else 0
    return Room(
        trained_window=model.trained_window,
        cell_bytes=model.cell_bytes(options),
        free_bytes=max(psutil.virtual_memory().available - unread, 0),
        has_own_memory=model.is_offloaded(options),
    )
