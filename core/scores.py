"""Owns what a model thought of a token among all others, as values. Computes nothing."""

from dataclasses import dataclass

MAX_TOP_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """`logprob` is the natural logarithm of the probability that the model gave `token_id`.

    `rank` counts from 1: how many ids were at least as probable. `top` are the most probable ids
    with their logprobs, best first, the lower id first among equals; ids that a grammar rules out
    (minus infinity) are not among them.
    """

    token_id: int
    logprob: float
    rank: int
    top: tuple[tuple[int, float], ...] = ()
