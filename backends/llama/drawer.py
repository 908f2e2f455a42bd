"""Owns how the ids of one sequence are drawn from rows of logits: masks, bias, penalties, draw.

In the order that core/sampling.py defines. Lives on the engine thread; knows no native object.
"""

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backends.base import TokenRequest
from backends.llama.grammar_masks import GrammarMask
from core.drawing import Row, draw, draw_seeded, scaled
from core.errors import EngineFailed
from core.scores import ScoredToken

_ID = np.dtype(np.int32)
_NOTHING = np.empty(0, dtype=np.int64)


class BrokenLogits(EngineFailed):
    """What the model computed is no number."""


@dataclass(frozen=True, slots=True)
class Draw:
    """The id that was drawn, and its score where that was asked for."""

    token_id: int
    score: ScoredToken | None


def is_plain(request: TokenRequest) -> bool:
    """Whether the best id of each row is all that is wanted."""
    plan = request.sampling
    has_more = plan.changes_logits or request.grammar or request.num_logprobs is not None
    return plan.is_greedy and not has_more


class Drawer:
    """One row after the other: each draw is an id of the answer, in order."""

    def __init__(
        self, request: TokenRequest, grammar: GrammarMask | None, random: np.random.Generator
    ) -> None:
        self._plan = request.sampling
        self._num_logprobs = request.num_logprobs
        self._grammar = grammar
        self._random = random
        self._num_drawn = 0
        self._end_ids = np.array(sorted(request.end_ids), dtype=np.int64)
        self._banned = _Banned(self._plan.banned_sequences)
        self._penalties = _Penalties(request) if self._plan.has_penalties else None
        self._forbidden: NDArray[np.bool_] | None = None
        biased = [*zip(*self._plan.logit_bias, strict=True)] or [(), ()]
        self._biased_ids = np.array(biased[0], dtype=np.int64)
        self._biases = np.array(biased[1], dtype=np.float32)

    def draw(self, row: Row) -> Draw:
        """The row is left as it is. Raises EngineFailed where the grammar can't go on, or where
        nothing is left to draw: others' draws must not suffer from such a row.
        """
        if self._grammar is not None:
            row = np.where(self._grammar.mask()[: row.size], row, np.float32(-np.inf))
        token_id = self._drawn(self._adjusted(row))
        score = None
        if self._num_logprobs is not None:
            score = scored(row, token_id, self._num_logprobs)
        self._accept(token_id)
        return Draw(token_id, score)

    def _adjusted(self, raw: Row) -> Row:
        plan = self._plan
        if not plan.changes_logits:
            return raw
        row = raw.copy()
        if plan.allowed_ids is not None:
            row[self._ids_not_allowed(row.size)] = -np.inf
        row[self._banned.ids()] = -np.inf
        if self._num_drawn < plan.min_tokens:
            row[self._end_ids] = -np.inf
        row[self._biased_ids] += self._biases
        if self._penalties is not None:
            self._penalties.apply(row)
        return row

    def _drawn(self, row: Row) -> int:
        plan = self._plan
        best = best_id(row)
        if plan.is_greedy:
            return best
        row = scaled(row, plan)
        if plan.seed is None:
            return draw(row, plan, self._random)
        return draw_seeded(row, plan, plan.seed, self._num_drawn)

    def _accept(self, token_id: int) -> None:
        self._num_drawn += 1
        self._banned.accept(token_id)
        if self._penalties is not None:
            self._penalties.accept(token_id)
        if self._grammar is not None:
            self._grammar.accept(token_id)

    def _ids_not_allowed(self, num_ids: int) -> NDArray[np.bool_]:
        if self._forbidden is None:
            self._forbidden = np.ones(num_ids, dtype=np.bool_)
            self._forbidden[list(self._plan.allowed_ids or ())] = False
        return self._forbidden


class _Banned:
    """Last ids of banned sequences whose other ids the output ends in.

    The others are held as bytes, so that hundreds of them cost each step next to nothing.
    """

    def __init__(self, sequences: tuple[tuple[int, ...], ...]) -> None:
        self._always = np.array([s[0] for s in sequences if len(s) == 1], dtype=np.int64)
        # By the id before the last: few of them can follow what was drawn.
        self._following: dict[bytes, list[tuple[bytes, int]]] = {}
        self._longest = 0
        for *before, last in (s for s in sequences if len(s) > 1):
            ids = np.array(before, dtype=_ID).tobytes()
            self._following.setdefault(ids[-_ID.itemsize :], []).append((ids, last))
            self._longest = max(self._longest, len(ids))
        self._recent = b""

    def ids(self) -> NDArray[np.int64]:
        near = self._following.get(self._recent[-_ID.itemsize :], ())
        found = [last for ids, last in near if self._recent.endswith(ids)]
        return np.append(self._always, np.array(found, dtype=np.int64)) if found else self._always

    def accept(self, token_id: int) -> None:
        if self._longest:
            drawn = token_id.to_bytes(_ID.itemsize, sys.byteorder)
            self._recent = (self._recent + drawn)[-self._longest :]


class _Penalties:
    """Counts of the ids that were seen, as arrays that grow by an id at a time."""

    def __init__(self, request: TokenRequest) -> None:
        plan = request.sampling
        self._repetition = np.float32(plan.repetition_penalty)
        self._frequency = np.float32(plan.frequency_penalty)
        self._presence = np.float32(plan.presence_penalty)
        self._seen = np.unique(np.array(request.prompt_ids, dtype=np.int64))
        self._in_prompt = frozenset(request.prompt_ids)
        self._places: dict[int, int] = {}
        self._output = _NOTHING
        self._counts = np.empty(0, dtype=np.float32)

    def apply(self, row: Row) -> None:
        """As vLLM does: repetition, frequency, presence, each in float32."""
        if self._repetition != 1:
            found = row[self._seen]
            row[self._seen] = np.where(
                found > 0, found / self._repetition, found * self._repetition
            )
        row[self._output] -= self._frequency * self._counts
        row[self._output] -= self._presence

    def accept(self, token_id: int) -> None:
        place = self._places.get(token_id)
        if place is not None:
            self._counts[place] += 1
            return
        self._places[token_id] = self._output.size
        self._output = np.append(self._output, token_id)
        self._counts = np.append(self._counts, np.float32(1))
        if token_id not in self._in_prompt:
            self._seen = np.append(self._seen, token_id)


def best_id(row: Row) -> int:
    """Raises EngineFailed where there is none; BrokenLogits where the row has a NaN, which counts
    as the highest.
    """
    best = int(row.argmax())
    if not np.isfinite(row[best]):
        reason = f"the logits leave no id to draw: the best one is {row[best]}"
        raise EngineFailed(reason) if row[best] < 0 else BrokenLogits(reason)
    return best


def scored(row: Row, token_id: int, num_top: int) -> ScoredToken:
    """The log-softmax of a row, for an id and the best ones. Raises EngineFailed where the logits
    are broken.
    """
    best = row[best_id(row)]
    total = best + np.log(np.exp(row - best).sum())
    rank = int(np.count_nonzero(row >= row[token_id]))
    top = tuple((int(i), float(row[i] - total)) for i in _best_ids(row, num_top))
    return ScoredToken(token_id, float(row[token_id] - total), rank, top)


def _best_ids(row: Row, count: int) -> NDArray[np.int64]:
    """Best first, the lower id first among equals; those that a mask rules out never."""
    if not count:
        return _NOTHING
    place = max(row.size - count, 0)
    least = np.partition(row, place)[place]
    ids = np.flatnonzero(row >= max(least, np.finfo(np.float32).min))
    order = np.lexsort((ids, -row[ids]))
    found: NDArray[np.int64] = ids[order[:count]]
    return found
