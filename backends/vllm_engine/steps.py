"""Turns vLLM's outputs into the seam's steps. Knows no engine."""

from collections.abc import Mapping
from typing import Any

from backends.base import TokenRequest, TokenStep
from core.errors import EngineFailed
from core.events import FinishReason
from core.scores import ScoredToken

_FINISHES = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


def step_of(output: Any, request: TokenRequest) -> TokenStep:
    """Reused are whole blocks, as vLLM tells with the first ids and keeps telling after that.

    Raises EngineFailed where vLLM ended the sequence for a reason of its own.
    """
    (choice,) = output.outputs
    reason = choice.finish_reason
    if reason is not None and reason not in _FINISHES:
        raise EngineFailed(f"vLLM ended the sequence: {reason}")
    if output.metrics is not None and output.metrics.is_corrupted:
        raise EngineFailed("the logits leave no id to draw: some are nan")
    token_ids = tuple(choice.token_ids)
    scores: tuple[ScoredToken, ...] = ()
    if request.num_logprobs is not None:
        pairs = zip(token_ids, choice.logprobs, strict=True)
        scores = tuple(_scored(i, found, request.num_logprobs) for i, found in pairs)
    return TokenStep(
        token_ids,
        _FINISHES.get(reason),
        output.num_cached_tokens or 0,
        scores,
        _prompt_scores(output, request),
    )


def _prompt_scores(output: Any, request: TokenRequest) -> tuple[ScoredToken, ...]:
    """With the first ids alone; vLLM has nothing for the first id of the prompt."""
    if request.num_prompt_logprobs is None or not output.prompt_logprobs:
        return ()
    pairs = zip(request.prompt_ids[1:], output.prompt_logprobs[1:], strict=True)
    return tuple(_scored(i, found, request.num_prompt_logprobs) for i, found in pairs)


def _scored(token_id: int, found: Mapping[int, Any], num_top: int) -> ScoredToken:
    """vLLM gives the id itself, too, where it is not among the best."""
    chosen = found[token_id]
    pairs = [(i, float(each.logprob)) for i, each in found.items() if each.logprob > float("-inf")]
    pairs.sort(key=_best_first)
    return ScoredToken(token_id, float(chosen.logprob), chosen.rank, tuple(pairs[:num_top]))


def _best_first(pair: tuple[int, float]) -> tuple[float, int]:
    return -pair[1], pair[0]
