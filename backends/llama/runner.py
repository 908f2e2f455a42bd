"""Runs step plans on the native objects it owns. Lives on the engine thread; decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import psutil
from numpy.typing import NDArray

from backends.base import ModelCard, TokenRequest
from backends.gguf_sampling import gguf_recommendation
from backends.llama.bindings import LogRoute, NativeBatch, NativeContext, NativeModel, version
from backends.llama.drawer import BrokenLogits, Draw, Drawer, best_id, is_plain, scored
from backends.llama.grammar_masks import GrammarMask
from backends.llama.limits import MOST_SLOTS, Limits
from backends.llama.memory import MemoryKind
from backends.llama.options import LlamaOptions
from backends.llama.plan import StepPlan, Work
from backends.llama.sizing import Room, Sizes, choose, separated
from backends.weights_digest import weights_digest
from core.drawing import Row
from core.errors import EngineFailed
from core.scores import ScoredToken

# Beyond this many running sequences, a batch has no room to compute guesses for nothing.
DRAFTING_SEQUENCES = 2
# As llama.cpp rounds the cells it computes attention over: fewer idle ones would save nothing.
IDLE_CELLS = 256


# Beside others' steps, this much memory holds the logits of prompts that are to be scored.
SCORED_BYTES = 64 << 20


Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Drawn:
    """The next ids of one sequence: one, and one more for each id of a draft that held.

    `draws` has each one's score where asked for; `prompt_scores` come with the first. `failure`
    is why no id could be drawn; `is_broken` where the KV cache must be taken for broken, too.
    """

    key: int
    draws: list[Draw]
    prompt_scores: tuple[ScoredToken, ...] = ()
    failure: str | None = None
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class _Rows:
    """The logits of `work`: `num_logits` rows from `first_row` on."""

    work: Work
    first_row: int

    @property
    def first_drawn(self) -> int:
        return self.first_row + self.work.num_logits - self.work.num_rows


@dataclass(frozen=True, slots=True)
class _Scoring:
    """What is known of a prompt's scores, by position of the id; none for the first id."""

    prompt_ids: tuple[int, ...]
    num_top: int
    scores: dict[int, ScoredToken]

    def add(self, row: Row, position: int) -> None:
        """The row of the id at `position` tells of the next one."""
        following = position + 1
        if following < len(self.prompt_ids):
            self.scores[following] = scored(row, self.prompt_ids[following], self.num_top)

    def taken(self) -> tuple[ScoredToken, ...]:
        return tuple(self.scores[position] for position in range(1, len(self.prompt_ids)))


class Runner:
    """A loaded model with its KV cache. Raises ModelLoadError when made, EngineFailed when run."""

    def __init__(
        self, options: LlamaOptions, progress: Callable[[float], bool], route: LogRoute
    ) -> None:
        self._options = options
        self.model = NativeModel(options, progress, route)
        try:
            room = _room(self.model, options)
            sizes = choose(options.wishes, room)
            self.window = sizes.window
            kind = self.model.memory_facts.kind(sizes.window)
            if kind is MemoryKind.PLAIN:
                sizes = separated(sizes, options.wishes, room)
            self.limits = _limits(options, sizes, kind, room)
            vocabulary = self.model.num_vocabulary
            self.limits = replace(self.limits, max_scored=max(SCORED_BYTES // 4 // vocabulary, 1))
            self._context = NativeContext(self.model, options, self.limits, kind.num_holders)
        except BaseException:
            self.model.close()
            raise
        self._batch = NativeBatch(
            self.limits.batch_tokens,
            num_holders=kind.num_holders,
            num_slots=self.limits.num_slots,
        )
        self._drawers: dict[int, Drawer] = {}
        self._scorings: dict[int, _Scoring] = {}
        self._random = np.random.default_rng()

    def describe(self, name: str) -> ModelCard:
        """Reads a part of the model file, to tell its weights from others."""
        return ModelCard(
            name=name,
            vocabulary=self.model.vocabulary(),
            context_window=self.window,
            num_slots=self.limits.max_running,
            chat_template=self.model.metadata("tokenizer.chat_template"),
            is_byte_level=self.model.is_byte_level,
            engine_build=_build(self.model, self._options),
            weights_digest=weights_digest(self._options.model_path),
            recommended=gguf_recommendation(self.model.metadata),
        )

    def begin(self, key: int, request: TokenRequest, grammar: GrammarMask | None) -> None:
        """Before a sequence's first step."""
        if not is_plain(request):
            self._drawers[key] = Drawer(request, grammar, self._random)
        if request.num_prompt_logprobs is not None:
            self._scorings[key] = _Scoring(request.prompt_ids, request.num_prompt_logprobs, {})

    def forget(self, key: int) -> None:
        self._drawers.pop(key, None)
        self._scorings.pop(key, None)

    def run(self, plan: StepPlan) -> list[Drawn]:
        """Does the plan's operations, computes its work, draws ids where logits were wanted."""
        for operation in plan.operations:
            self._context.apply(operation)
        if not plan.work:
            return []
        rows = self._fill(plan)
        self._context.decode(self._batch, plan.num_tokens)
        return self._draw(rows) if rows else []

    def clear(self) -> None:
        """Forgets all that was computed, down to the last byte."""
        self._context.clear()

    def close(self) -> None:
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
            if work.num_logits:
                rows.append(_Rows(work, len(wanted)))
                wanted += range(len(token_ids) - work.num_logits, len(token_ids))
        count = len(token_ids)
        batch = self._batch
        batch.token_ids[:count] = token_ids
        batch.positions[:count] = positions
        batch.put_slots(slots)
        batch.wants_logits[:count] = 0
        batch.wants_logits[wanted] = 1
        return rows

    def _draw(self, rows: list[_Rows]) -> list[Drawn]:
        logits = self._context.logits(rows[-1].first_row + rows[-1].work.num_logits)
        failed = [self._scored(each, logits) for each in rows if each.work.scores_all]
        drawing = [each for each in rows if each.work.num_rows]
        if all(each.work.key not in self._drawers for each in rows) and drawing == rows:
            best = logits.argmax(axis=1)
            # A NaN counts as the highest of its row: these few tell of all.
            if np.isfinite(logits[np.arange(len(best)), best]).all():
                best_ids = best.tolist()
                return [self._best(each, best_ids) for each in rows]
        failures = [each for each in failed if each is not None]
        failed_keys = {each.key for each in failures}
        living = [each for each in drawing if each.work.key not in failed_keys]
        return failures + [self._drawn(each, logits) for each in living]

    def _scored(self, rows: _Rows, logits: Logits) -> Drawn | None:
        """Scores a part of a prompt; else why it can't be."""
        scoring = self._scorings[rows.work.key]
        try:
            for offset in range(rows.work.num_logits):
                scoring.add(logits[rows.first_row + offset], rows.work.start + offset)
        except EngineFailed as error:
            return _failed(rows, error)
        return None

    def _best(self, rows: _Rows, best: list[int]) -> Drawn:
        """The id after the work's last certain one; after each id of the draft that it equals."""
        draft = rows.work.draft
        draws: list[Draw] = []
        for offset in range(rows.work.num_rows):
            draws.append(Draw(best[rows.first_drawn + offset], None))
            if offset < len(draft) and draft[offset] != draws[-1].token_id:
                break
        return Drawn(rows.work.key, draws, self._prompt_scores(rows.work.key))

    def _drawn(self, rows: _Rows, logits: Logits) -> Drawn:
        """The same, row by row: what was drawn before counts for the next."""
        key, draft = rows.work.key, rows.work.draft
        drawer = self._drawers.get(key)
        draws: list[Draw] = []
        for offset in range(rows.work.num_rows):
            row = logits[rows.first_drawn + offset]
            try:
                draws.append(drawer.draw(row) if drawer else Draw(best_id(row), None))
            except EngineFailed as error:
                return _failed(rows, error)
            if offset < len(draft) and draft[offset] != draws[-1].token_id:
                break
        return Drawn(key, draws, self._prompt_scores(key))

    def _prompt_scores(self, key: int) -> tuple[ScoredToken, ...]:
        scoring = self._scorings.pop(key, None)
        return scoring.taken() if scoring else ()


def _failed(rows: _Rows, error: EngineFailed) -> Drawn:
    is_broken = isinstance(error, BrokenLogits)
    return Drawn(rows.work.key, [], failure=str(error), is_broken=is_broken)


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


def _build(model: NativeModel, options: LlamaOptions) -> str:
    place = "GPU" if model.is_offloaded(options) else "CPU"
    cache = f"KV cache {model.cache_type(options)}"
    return f"llama_cpp {version()}, {place}, {cache}, flash attention {options.flash_attention}"


def _room(model: NativeModel, options: LlamaOptions) -> Room:
    """Weights that are mapped count as free memory until they are read."""
    unread = model.num_bytes if options.uses_mmap else 0
    return Room(
        trained_window=model.trained_window,
        cell_bytes=model.cell_bytes(options),
        free_bytes=max(psutil.virtual_memory().available - unread, 0),
        has_own_memory=model.is_offloaded(options),
    )
