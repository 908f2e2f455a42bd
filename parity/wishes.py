"""Owns what is wished of a model, and how each API says it: chats, Responses, Messages.

A wish is put as a chat is; the other APIs' bodies are made of that.
"""

import json
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
_CALL = "call_000000001"
_CITY: Body = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_SUM: Body = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
WEATHER: Body = {"name": "get_weather", "description": "Tells the weather.", "parameters": _CITY}
ADD: Body = {"name": "add", "description": "Adds two numbers.", "parameters": _SUM}


@dataclass(frozen=True, slots=True)
class Wish:
    """`messages` are a chat's. `choice` is auto, none, required, or a tool's name. Answers have
    `num_tokens` at most, and are greedy.
    """

    messages: list[Body]
    num_tokens: int
    tools: tuple[Body, ...] = ()
    choice: str = "auto"
    is_parallel: bool = True
    schema: Body | None = None


def loop(question: str, city: str, result: str) -> list[Body]:
    """A question, the call that it led to, and what that gave."""
    call = {"name": "get_weather", "arguments": json.dumps({"city": city})}
    return [
        {"role": "user", "content": question},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": _CALL, "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": _CALL, "content": result},
    ]


def chat(wish: Wish) -> Body:
    body: Body = {"messages": wish.messages, "max_tokens": wish.num_tokens, "temperature": 0}
    if wish.schema is not None:
        named = {"name": "answer", "schema": wish.schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    if not wish.tools:
        return body
    named_tool = {"type": "function", "function": {"name": wish.choice}}
    return body | {
        "tools": [{"type": "function", "function": tool} for tool in wish.tools],
        "tool_choice": named_tool if _is_named(wish) else wish.choice,
        "parallel_tool_calls": wish.is_parallel,
    }


def response(wish: Wish) -> Body:
    """Kept by no server: many are asked."""
    body: Body = {
        "input": [item for message in _turns(wish) for item in _items(message)],
        "max_output_tokens": wish.num_tokens,
        "temperature": 0,
        "store": False,
    }
    if system := _system(wish):
        body["instructions"] = system
    if wish.schema is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": wish.schema}}
    if not wish.tools:
        return body
    named_tool = {"type": "function", "name": wish.choice}
    return body | {
        "tools": [{"type": "function", **tool} for tool in wish.tools],
        "tool_choice": named_tool if _is_named(wish) else wish.choice,
        "parallel_tool_calls": wish.is_parallel,
    }


def message(wish: Wish) -> Body:
    """For Anthropic's API."""
    body: Body = {
        "messages": [_turn(each) for each in _turns(wish)],
        "max_tokens": wish.num_tokens,
        "temperature": 0,
    }
    if system := _system(wish):
        body["system"] = system
    if wish.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": wish.schema}}
    if not wish.tools:
        return body
    kind = {"auto": "auto", "none": "none", "required": "any"}.get(wish.choice, "tool")
    choice: Body = {"type": kind}
    if kind == "tool":
        choice["name"] = wish.choice
    if kind != "none":
        choice["disable_parallel_tool_use"] = not wish.is_parallel
    return body | {"tools": [_message_tool(tool) for tool in wish.tools], "tool_choice": choice}


def _is_named(wish: Wish) -> bool:
    return wish.choice not in ("auto", "none", "required")


def _system(wish: Wish) -> str | None:
    first = wish.messages[0]
    return str(first["content"]) if first["role"] == "system" else None


def _turns(wish: Wish) -> list[Body]:
    return [each for each in wish.messages if each["role"] != "system"]


def _items(turn: Body) -> list[Body]:
    if turn["role"] == "tool":
        found = {"call_id": turn["tool_call_id"], "output": turn["content"]}
        return [{"type": "function_call_output", **found}]
    if "tool_calls" in turn:
        return [
            {"type": "function_call", "call_id": call["id"], **call["function"]}
            for call in turn["tool_calls"]
        ]
    return [{"role": turn["role"], "content": turn["content"]}]


def _turn(turn: Body) -> Body:
    if turn["role"] == "tool":
        result = {"tool_use_id": turn["tool_call_id"], "content": turn["content"]}
        return {"role": "user", "content": [{"type": "tool_result", **result}]}
    if "tool_calls" not in turn:
        return turn
    blocks = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": json.loads(call["function"]["arguments"]),
        }
        for call in turn["tool_calls"]
    ]
    return {"role": "assistant", "content": blocks}


def _message_tool(tool: Body) -> Body:
    return {("input_schema" if name == "parameters" else name): tool[name] for name in tool}
