"""Owns what a span says of a request: OpenTelemetry's names for HTTP and for generative AI, and
vLLM's for the times that have none. No text of a request, no key, no header's value. Imports
nothing of OpenTelemetry.
"""

from core.observation import AnswerSummary, Outcome, ReplySummary

Fact = str | int | float | tuple[str, ...]

_OPERATIONS = {
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
    "/v1/score": "score",
}
_OWN = "jarvis"


def span_name(reply: ReplySummary) -> str:
    return f"{reply.method} {reply.route}"


def is_failure(reply: ReplySummary) -> bool:
    """The server's fault, or a time that was over: what a client did wrong is none."""
    if reply.answer is not None and reply.answer.outcome in (Outcome.FAILED, Outcome.EXPIRED):
        return True
    return reply.status >= 500


def span_facts(reply: ReplySummary) -> dict[str, Fact]:
    """By attribute; those that are not known are left out."""
    facts: dict[str, Fact | None] = {
        "http.request.method": reply.method,
        "http.route": reply.route,
        "http.response.status_code": reply.status,
        "error.type": reply.error,
        "jarvis.reply.is_whole": reply.is_whole,
    }
    if reply.answer is not None:
        facts["gen_ai.operation.name"] = _OPERATIONS.get(reply.route, "chat")
        facts |= _answer_facts(reply.answer)
    return {name: fact for name, fact in facts.items() if fact is not None}


def _answer_facts(answer: AnswerSummary) -> dict[str, Fact | None]:
    return {**_answer_itself(answer), **(_usage(answer) if answer.is_counted else {})}


def _usage(answer: AnswerSummary) -> dict[str, Fact | None]:
    return {
        "gen_ai.usage.input_tokens": answer.num_prompt_tokens,
        "gen_ai.usage.output_tokens": answer.num_completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": answer.num_reused,
    }


def _answer_itself(answer: AnswerSummary) -> dict[str, Fact | None]:
    return {
        "gen_ai.provider.name": answer.upstream or _OWN,
        "gen_ai.request.model": answer.model,
        "gen_ai.response.model": answer.model,
        "gen_ai.response.id": answer.id,
        "gen_ai.response.finish_reasons": answer.finish_reasons or None,
        "gen_ai.request.max_tokens": answer.max_tokens,
        "gen_ai.request.choice.count": answer.num_choices if answer.num_choices != 1 else None,
        "gen_ai.latency.time_in_queue": answer.queue_s,
        "gen_ai.latency.time_to_first_token": answer.first_token_s,
        "gen_ai.latency.e2e": answer.total_s,
        "jarvis.outcome": answer.outcome.value,
    }
