"""Owns which fields servers of each kind honour, and by what names. Knows no request's values.

A field stands here by the name that vLLM and this server have for it. Where a kind has no name for
a field, a request that sets it is refused: such servers would refuse it too, or say nothing and
answer otherwise.

| field | vllm, jarvis | openai | openrouter | llama_cpp |
|---|---|---|---|---|
| temperature, top_p, penalties, seed, logit_bias, stop | sent | sent | sent | sent |
| max_tokens | sent | max_completion_tokens in chat | sent | sent |
| top_k, min_p | sent | refused | sent | sent |
| repetition_penalty | sent | refused | sent | repeat_penalty |
| tools, tool_choice, parallel_tool_calls | sent | sent | sent | sent; what comes is checked |
| response_format | sent | sent | sent | sent; a schema in llama.cpp's own form |
| reasoning_effort | sent | sent | reasoning.effort | none as enable_thinking, others refused |
| thinking_token_budget | sent | refused | reasoning.max_tokens | thinking_budget_tokens |
| chat_template_kwargs | sent | refused | refused | sent |
| continue_final_message | sent | refused | by the last message's role | refused |
| compact_json | jarvis alone | refused | refused | refused |
| all others | sent | refused | refused | refused |

A value that asks for what a kind does anyway (`top_k` for all ids, where there is none) is left
out. `compact_json` is our word for `structured_outputs` without white space, which vLLM takes and
does not honour. llama_cpp means llama-server and `llama_cpp.server`; what is about thoughts and
templates is sent for the former, the latter has neither. OpenRouter is told to ask only those
providers that know all fields of a request, for others would ignore them.
"""

from collections.abc import Mapping
from typing import Any

from core.upstreams import UpstreamKind

_PLAIN = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "logit_bias",
    "stop",
    "max_tokens",
)
_FILTERS = ("top_k", "min_p", "repetition_penalty")
_CALLING = ("tools", "tool_choice", "parallel_tool_calls", "response_format")
_ALL = (
    *_PLAIN,
    *_FILTERS,
    *_CALLING,
    "allowed_token_ids",
    "bad_words",
    "min_tokens",
    "stop_token_ids",
    "ignore_eos",
    "include_stop_str_in_output",
    "skip_special_tokens",
    "structured_outputs",
    "reasoning_effort",
    "thinking_token_budget",
    "chat_template_kwargs",
    "add_generation_prompt",
    "continue_final_message",
    "priority",
    "cache_salt",
)
_NOT_IN_COMPLETIONS = (
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning_effort",
    "thinking_token_budget",
    "chat_template_kwargs",
    "add_generation_prompt",
    "continue_final_message",
)


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_COMPACT = {"compact_json": "structured_outputs"}
_LLAMA_CPP = _same(*_PLAIN, "top_k", "min_p") | {"repetition_penalty": "repeat_penalty"}

CHAT_FIELDS: Mapping[UpstreamKind, Mapping[str, str]] = {
    UpstreamKind.VLLM: _same(*_ALL),
    UpstreamKind.JARVIS: _same(*_ALL) | _COMPACT,
    UpstreamKind.OPENAI: _same(*_PLAIN, *_CALLING, "reasoning_effort")
    | {"max_tokens": "max_completion_tokens"},
    UpstreamKind.OPENROUTER: _same(
        *_PLAIN, *_FILTERS, *_CALLING, "reasoning_effort", "thinking_token_budget"
    ),
    UpstreamKind.LLAMA_CPP: _LLAMA_CPP
    | _same(*_CALLING, "reasoning_effort", "chat_template_kwargs")
    | {"thinking_token_budget": "thinking_budget_tokens"},
}
_PLAIN_PROMPT = _same(*(set(_ALL) - set(_NOT_IN_COMPLETIONS)), "suffix", "prompt_ids")
COMPLETION_FIELDS: Mapping[UpstreamKind, Mapping[str, str]] = {
    UpstreamKind.VLLM: _PLAIN_PROMPT,
    UpstreamKind.JARVIS: _PLAIN_PROMPT | _COMPACT,
    UpstreamKind.OPENAI: _same(*_PLAIN, "suffix", "prompt_ids"),
    UpstreamKind.OPENROUTER: _same(*_PLAIN, *_FILTERS),
    UpstreamKind.LLAMA_CPP: _LLAMA_CPP | _same("suffix", "prompt_ids"),
}

# What no server has to be asked for: it is so where a server has no such field.
NEUTRAL: Mapping[str, Any] = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}

# Where the thoughts of earlier turns stand in a message; kinds without a place leave them out.
THOUGHTS: Mapping[UpstreamKind, str] = {
    UpstreamKind.VLLM: "reasoning",
    UpstreamKind.JARVIS: "reasoning_content",
    UpstreamKind.OPENROUTER: "reasoning",
    UpstreamKind.LLAMA_CPP: "reasoning_content",
}
