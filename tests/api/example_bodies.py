"""Bodies that are right: of each route a few, which together have most of its fields."""

from typing import Any

_SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Rome", "Paris"], "description": "A city."},
        "days": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 3},
        "note": {"anyOf": [{"type": "string", "pattern": "^[a-z]{1,5}$"}, {"type": "null"}]},
    },
    "required": ["city", "days", "note"],
    "additionalProperties": False,
}
_CHAT_TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather.", "parameters": _SCHEMA},
}
_CHAT_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'},
}
_CHAT = {
    "model": "jarvis-tiny",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {"role": "assistant", "content": None, "tool_calls": [_CHAT_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ],
    "tools": [_CHAT_TOOL],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "max_completion_tokens": 4,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 7,
    "logit_bias": {"97": 1.5},
    "n": 2,
    "stop": ["zzz"],
    "stream": False,
}
_CHAT_STREAM = {
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "reasoning_content": "hm", "content": "ho"},
        {"role": "user", "content": "hi"},
    ],
    "tools": [_CHAT_TOOL],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "reasoning_effort": "low",
    "thinking_token_budget": 3,
    "chat_template_kwargs": {"enable_thinking": True},
    "logprobs": True,
    "top_logprobs": 2,
    "max_tokens": 4,
    "stream": True,
    "stream_options": {"include_usage": True},
}
_CHAT_SCHEMA = {
    "messages": [{"role": "user", "content": "hi"}],
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": _SCHEMA, "strict": True},
    },
    "max_tokens": 4,
    "metadata": {"a": "b"},
}
_RESPONSE = {
    "model": "jarvis-tiny",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "content": [{"type": "reasoning_text", "text": "hm"}],
        },
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "ho", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "no"},
            ],
        },
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "get_weather",
            "arguments": '{"city": "Rome"}',
        },
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
    ],
    "tools": [{"type": "function", "name": "get_weather", "parameters": _SCHEMA, "strict": True}],
    "tool_choice": {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "get_weather"}],
    },
    "parallel_tool_calls": False,
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "max_output_tokens": 4,
    "temperature": 0.5,
    "top_p": 0.9,
    "metadata": {"a": "b"},
    "user": "me",
    "store": True,
    "stream": True,
}
_RESPONSE_TEXT = {
    "input": "hi",
    "text": {"format": {"type": "json_schema", "name": "a", "schema": _SCHEMA}},
    "include": ["message.output_text.logprobs"],
    "top_logprobs": 2,
    "max_output_tokens": 4,
    "previous_response_id": None,
    "background": False,
    "truncation": "disabled",
    "service_tier": "auto",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
}
_RESPONSE_BACKGROUND = {"input": "hi", "background": True, "max_output_tokens": 4}
_TURNS = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "ho", "cache_control": {"type": "ephemeral"}},
            {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Rome"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "call_1",
                "content": [{"type": "text", "text": "sunny"}],
                "is_error": False,
            },
            {"type": "text", "text": "And?"},
        ],
    },
]
_PROMPT_FIELDS = {
    "model": "jarvis-tiny",
    "system": [{"type": "text", "text": "Be brief."}],
    "messages": _TURNS,
    "tools": [{"name": "get_weather", "description": "Weather.", "input_schema": _SCHEMA}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "adaptive", "display": "summarized"},
    "output_config": {"effort": "low"},
}
_MESSAGE = {
    **_PROMPT_FIELDS,
    "max_tokens": 4,
    "stop_sequences": ["zzz"],
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "metadata": {"user_id": "me"},
    "service_tier": "auto",
    "stream": True,
}
_MESSAGE_PLAIN = {
    "max_tokens": 2000,
    "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "h"}],
    "system": "Be brief.",
    "thinking": {"type": "enabled", "budget_tokens": 1024},
}
_MESSAGE_FORMAT = {
    "max_tokens": 4,
    "messages": [{"role": "user", "content": "hi"}],
    "output_format": {"type": "json_schema", "schema": _SCHEMA},
}

EXAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "/v1/chat/completions": (_CHAT, _CHAT_STREAM, _CHAT_SCHEMA),
    "/v1/chat/completions/render": (_CHAT,),
    "/apply-template": (_CHAT,),
    "/v1/completions": (
        {"prompt": ["a", "b"], "max_tokens": 3, "logprobs": 2, "n": 1, "echo": True},
        {"prompt": [1, 2], "max_tokens": 3, "stream": True, "suffix": None, "bad_words": ["x"]},
    ),
    "/v1/responses": (_RESPONSE, _RESPONSE_TEXT, _RESPONSE_BACKGROUND),
    "/v1/responses/input_tokens": (_RESPONSE,),
    "/v1/messages": (_MESSAGE, _MESSAGE_PLAIN, _MESSAGE_FORMAT),
    "/v1/messages/count_tokens": (_PROMPT_FIELDS,),
    "/v1/embeddings": (
        {"input": ["a", "bc"], "encoding_format": "base64", "dimensions": 4, "user": "me"},
        {"input": [[1, 2], [3]], "model": "mini", "encoding_format": "float"},
        {"input": [1, 2, 3]},
    ),
    "/v1/rerank": (
        {"query": "a", "documents": ["a", "b"], "top_n": 1, "return_documents": True},
        {"query": "a", "documents": [{"text": "a"}, {"text": "b"}], "max_tokens_per_doc": 0},
    ),
    "/v1/score": ({"text_1": "a", "text_2": ["a", "b"]}, {"text_1": ["a"], "text_2": ["b"]}),
    "/tokenize": (
        {"prompt": "hi", "add_special_tokens": True, "return_token_strs": True},
        {"content": "hi", "with_pieces": True, "parse_special": False},
        {"messages": _CHAT["messages"], "add_generation_prompt": True, "return_token_strs": True},
    ),
    "/detokenize": ({"tokens": [104, 105, 256]},),
}
