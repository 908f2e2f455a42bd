"""Owns which facts of an answer go into which of vLLM's histograms. Counts nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.metrics import buckets
from core.observation import AnswerSummary


@dataclass(frozen=True, slots=True)
class Histogram:
    """`of` gives an answer's value, None where it has none. The bounds of counts of tokens end at
    the model's context window. `needs_count`: it is made of an answer's numbers of tokens.
    """

    name: str
    meaning: str
    bounds: Sequence[float]
    of: Callable[[AnswerSummary], float | None]
    needs_count: bool = False

    @property
    def counts_tokens(self) -> bool:
        return self.bounds is buckets.TOKENS


def _between(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else max(end_s - start_s, 0.0)


def _per_output_token(answer: AnswerSummary) -> float | None:
    """The choices are made beside each other: each has its share of the tokens."""
    decode_s = _between(answer.first_token_s, answer.total_s)
    num_after_first = answer.num_completion_tokens / answer.num_choices - 1
    if decode_s is None:
        return None
    return decode_s / num_after_first if num_after_first > 0 else 0.0


def _of_text(answer: AnswerSummary, value: float) -> float | None:
    """Vectors have no first token."""
    return None if answer.first_token_s is None else value


# Of each answer that is whole.
OF_WHOLE_ANSWERS = (
    Histogram(
        "vllm:e2e_request_latency_seconds",
        "From a request's arrival to its answer's end, in seconds.",
        buckets.LATENCY_S,
        lambda answer: answer.total_s,
    ),
    Histogram(
        "vllm:request_queue_time_seconds",
        "From a request's arrival until the engine was given it, in seconds.",
        buckets.LATENCY_S,
        lambda answer: answer.queue_s,
    ),
    Histogram(
        "vllm:request_inference_time_seconds",
        "From when the engine was given a request to its answer's end, in seconds.",
        buckets.LATENCY_S,
        lambda answer: _between(answer.queue_s, answer.total_s),
    ),
    Histogram(
        "vllm:request_prefill_time_seconds",
        "From when the engine was given a request to the first token, in seconds.",
        buckets.LATENCY_S,
        lambda answer: _between(answer.queue_s, answer.first_token_s),
    ),
    Histogram(
        "vllm:request_decode_time_seconds",
        "From the first token to the answer's end, in seconds.",
        buckets.LATENCY_S,
        lambda answer: _between(answer.first_token_s, answer.total_s),
    ),
    Histogram(
        "vllm:request_time_per_output_token_seconds",
        "The mean time of a request's tokens after the first, in seconds.",
        buckets.INTER_TOKEN_S,
        _per_output_token,
        needs_count=True,
    ),
    Histogram(
        "vllm:request_prompt_tokens",
        "Tokens of a request's prompt.",
        buckets.TOKENS,
        lambda answer: answer.num_prompt_tokens,
        needs_count=True,
    ),
    Histogram(
        "vllm:request_generation_tokens",
        "Tokens of a request's answer, of all choices together.",
        buckets.TOKENS,
        lambda answer: _of_text(answer, answer.num_completion_tokens),
        needs_count=True,
    ),
    # How many each of several choices had is not told.
    Histogram(
        "vllm:request_max_num_generation_tokens",
        "Tokens of a request's longest choice, of requests for one.",
        buckets.TOKENS,
        lambda answer: (
            _of_text(answer, answer.num_completion_tokens) if answer.num_choices == 1 else None
        ),
        needs_count=True,
    ),
    Histogram(
        "vllm:request_prefill_kv_computed_tokens",
        "Tokens of a request's prompt that were computed, not reused.",
        buckets.TOKENS,
        lambda answer: max(answer.num_prompt_tokens - answer.num_reused, 0),
        needs_count=True,
    ),
    Histogram(
        "vllm:request_params_max_tokens",
        "The max_tokens of requests.",
        buckets.TOKENS,
        lambda answer: answer.max_tokens,
    ),
    Histogram(
        "vllm:request_params_n",
        "The number of choices of requests.",
        buckets.CHOICES,
        lambda answer: _of_text(answer, answer.num_choices),
    ),
)
# Of each answer that came so far, whole or not.
OF_BEGUN_ANSWERS = Histogram(
    "vllm:time_to_first_token_seconds",
    "From a request's arrival to the first token, in seconds.",
    buckets.FIRST_TOKEN_S,
    lambda answer: answer.first_token_s,
)
# Of each step of an answer but its first: told while it grows.
STEPS = Histogram(
    "vllm:inter_token_latency_seconds",
    "Between two steps of an answer, in seconds.",
    buckets.INTER_TOKEN_S,
    lambda _: None,
)
