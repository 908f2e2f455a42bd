"""Owns how a token request becomes vLLM's sampling parameters. Every rule of vLLM's own is off."""

from typing import Any

from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

from backends.base import TokenRequest
from backends.vllm_engine.seeded_draws import SEED_ARGUMENT
from core.grammar import Grammar, GrammarKind
from core.sampling import SamplingPlan

_ALL_IDS = 0


def sampling_params(request: TokenRequest) -> SamplingParams:
    """It stops at the request's end ids and nothing else."""
    plan = request.sampling
    params = SamplingParams(
        temperature=0.0 if plan.is_greedy else plan.drawing_temperature,
        top_p=plan.top_p,
        top_k=_ALL_IDS if plan.top_k is None else plan.top_k,
        min_p=plan.min_p,
        presence_penalty=plan.presence_penalty,
        frequency_penalty=plan.frequency_penalty,
        repetition_penalty=plan.repetition_penalty,
        logit_bias=dict(plan.logit_bias) or None,
        allowed_token_ids=None if plan.allowed_ids is None else list(plan.allowed_ids),
        min_tokens=plan.min_tokens,
        max_tokens=request.max_tokens,
        logprobs=request.num_logprobs,
        prompt_logprobs=request.num_prompt_logprobs,
        structured_outputs=_structure(request.grammar),
        extra_args=_extra_args(plan),
        stop_token_ids=sorted(request.end_ids),
        ignore_eos=True,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
    )
    # vLLM's own way here is words, which it would encode by rules of its own.
    params._bad_words_token_ids = [list(sequence) for sequence in plan.banned_sequences] or None
    return params


def needs_preparing(request: TokenRequest) -> bool:
    """Whether vLLM compiles a grammar to check it, or adds end ids of its own to be held back."""
    return request.grammar is not None or request.sampling.min_tokens > 0


def only_our_end_ids(params: SamplingParams) -> None:
    """After vLLM's processing: `min_tokens` holds back the request's end ids alone."""
    params._all_stop_token_ids = set(params.stop_token_ids)


def _extra_args(plan: SamplingPlan) -> dict[str, Any] | None:
    if plan.seed is None or plan.is_greedy:
        return None
    return {SEED_ARGUMENT: [plan.seed.value, plan.seed.choice]}


def _structure(grammar: Grammar | None) -> StructuredOutputsParams | None:
    if grammar is None:
        return None
    if grammar.kind is GrammarKind.JSON_SCHEMA:
        return StructuredOutputsParams(json=grammar.text)
    if grammar.kind is GrammarKind.REGEX:
        return StructuredOutputsParams(regex=grammar.text)
    return StructuredOutputsParams(grammar=grammar.text)
