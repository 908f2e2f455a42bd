"""Owns what a response says of its request: every field as it was in force."""

from typing import Any

from api.schemas.responses.request import ReadResponse, ResponseRequest
from core.sampling import SamplingPlan


def request_facts(read: ReadResponse, model_id: str, defaults: SamplingPlan) -> dict[str, Any]:
    """`defaults` is what is done for a request that says nothing of its sampling."""
    fields, calling = read.fields, read.calling
    return {
        "background": bool(fields.background),
        "instructions": fields.instructions,
        "max_output_tokens": fields.max_output_tokens,
        "max_tool_calls": None,
        "metadata": fields.metadata or {},
        "model": model_id,
        "parallel_tool_calls": calling.choice.is_parallel,
        "previous_response_id": fields.previous_response_id,
        "prompt_cache_key": fields.prompt_cache_key,
        "reasoning": _reasoning(fields),
        "safety_identifier": fields.safety_identifier,
        "service_tier": "default",
        "temperature": _given(fields.temperature, defaults.temperature),
        "text": {"format": fields.format.shown, "verbosity": "medium"},
        "tool_choice": calling.shown_choice,
        "tools": list(calling.shown_tools),
        "top_logprobs": fields.top_logprobs or 0,
        "top_p": _given(fields.top_p, defaults.top_p),
        "truncation": "disabled",
        "user": fields.user,
    }


def _reasoning(fields: ResponseRequest) -> dict[str, Any]:
    """No summary is written, whoever asks for the best there is."""
    effort = fields.thinking.effort
    return {"effort": None if effort is None else effort.value, "summary": None}


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
