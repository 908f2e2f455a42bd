"""Owns what min_p, top_k and top_p keep of a row of logits, and how one id of it is drawn.

All on one row of float32 logits, already divided by the temperature. Each filter keeps the ids
whose logit is at least some lowest one, so that equal logits are kept or left together, in
whatever order an engine sorts.
"""

import numpy as np
from numpy.typing import NDArray

from core.noise import gumbel_noise, noise_key
from core.sampling import SamplingPlan, Seed

Row = NDArray[np.float32]
# How far below the best logit top_p looks, one after the other.
_DEPTHS = (6.0, 14.0, np.inf)


def scaled(logits: Row, plan: SamplingPlan) -> Row:
    """The logits over the temperature, as float32."""
    divided: Row = logits / np.float32(plan.drawing_temperature)
    return divided


def lowest_kept(row: Row, plan: SamplingPlan) -> np.float32:
    """The lowest logit that the plan's filters keep.

    min_p keeps ids at least min_p times as probable as the best one; top_k the k best of these and
    their equals; top_p the fewest best of those whose probabilities sum to at least top_p, and the
    equals of the last.
    """
    floor = np.float32(-np.inf)
    if plan.min_p > 0.0:
        floor = np.float32(row.max() + np.log(plan.min_p))
    if plan.top_k is not None and plan.top_k < row.size:
        place = row.size - plan.top_k
        floor = max(floor, np.partition(row, place)[place])
    if plan.top_p < 1.0:
        floor = max(floor, _nucleus_floor(row[row >= floor], plan.top_p))
    return floor


def draw_seeded(row: Row, plan: SamplingPlan, seed: Seed, position: int) -> int:
    """The id that the seed chooses at `position`. Equal ones: the lowest id."""
    ids = np.flatnonzero(row >= max(lowest_kept(row, plan), np.finfo(np.float32).min))
    noise = gumbel_noise(noise_key(seed, position), ids)
    return int(ids[np.argmax(row[ids].astype(np.float64) + noise)])


def draw(row: Row, plan: SamplingPlan, random: np.random.Generator) -> int:
    """An id with its probability, by inverting the distribution function."""
    ids = np.flatnonzero(row >= max(lowest_kept(row, plan), np.finfo(np.float32).min))
    kept = row[ids]
    summed = np.cumsum(np.exp(kept - kept.max()).astype(np.float64))
    place = np.searchsorted(summed, random.random() * summed[-1], side="right")
    return int(ids[min(int(place), ids.size - 1)])


def _nucleus_floor(kept: Row, top_p: float) -> np.float32:
    """In float64, so that no form of this arithmetic decides otherwise by rounding.

    Sorting is what costs: the ids near the best one are tried first, which mostly suffice.
    """
    best = kept.max()
    wanted = top_p * _weights(kept, best).sum()
    near = kept
    for depth in _DEPTHS:
        near = kept[kept >= best - np.float32(depth)]
        if _weights(near, best).sum() >= wanted:
            break
    highest = np.sort(near)[::-1]
    reached = int(np.searchsorted(np.cumsum(_weights(highest, best)), wanted))
    return np.float32(highest[min(reached, highest.size - 1)])


def _weights(logits: Row, best: np.float32) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.exp(logits.astype(np.float64) - np.float64(best))
    return weights
