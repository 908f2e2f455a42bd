"""The definition of sampling, written as plainly as it can be said: the judge of both engines."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from core.sampling import SamplingPlan


def probabilities(
    logits: NDArray[np.float32],
    plan: SamplingPlan,
    prompt_ids: Sequence[int],
    output_ids: Sequence[int],
    end_ids: Collection[int] = (),
) -> NDArray[np.float64]:
    """With which each id is drawn next."""
    row = penalised(logits.astype(np.float64), plan, prompt_ids, output_ids, end_ids)
    if plan.is_greedy:
        best: NDArray[np.float64] = np.eye(row.size)[int(row.argmax())]
        return best
    row = row / plan.drawing_temperature
    if plan.min_p:
        weights = softmax(row)
        row[weights < plan.min_p * weights.max()] = -np.inf
    if plan.top_k is not None:
        row[row < np.sort(row)[::-1][min(plan.top_k, row.size) - 1]] = -np.inf
    if plan.top_p < 1.0:
        order = np.argsort(-row, kind="stable")
        before = np.cumsum(softmax(row)[order]) - softmax(row)[order]
        row[order[before >= plan.top_p]] = -np.inf
    return softmax(row)


def penalised(
    row: NDArray[np.float64],
    plan: SamplingPlan,
    prompt_ids: Sequence[int],
    output_ids: Sequence[int],
    end_ids: Collection[int],
) -> NDArray[np.float64]:
    if plan.allowed_ids is not None:
        banned = np.ones(row.size, dtype=bool)
        banned[list(plan.allowed_ids)] = False
        row[banned] = -np.inf
    for sequence in plan.banned_sequences:
        *before, last = sequence
        if list(output_ids)[len(output_ids) - len(before) :] == before:
            row[last] = -np.inf
    if len(output_ids) < plan.min_tokens:
        row[list(end_ids)] = -np.inf
    for token_id, bias in plan.logit_bias:
        row[token_id] += bias
    for token_id in {*prompt_ids, *output_ids}:
        factor = plan.repetition_penalty
        row[token_id] = row[token_id] / factor if row[token_id] > 0 else row[token_id] * factor
    for token_id in set(output_ids):
        row[token_id] -= plan.frequency_penalty * list(output_ids).count(token_id)
        row[token_id] -= plan.presence_penalty
    return row


def softmax(row: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.exp(row - row.max())
    weights /= weights.sum()
    return weights
