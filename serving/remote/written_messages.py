"""Owns how messages, tools and the choice among them are written for a kind of server.

Loses nothing that the kind has a place for. Knows nothing else of a request.
"""

from typing import Any

from core.messages import Message, Tool, ToolCall
from core.tool_choice import ToolChoice, ToolMode
from core.upstreams import UpstreamKind
from serving.remote.body_fields import THOUGHTS

Body = dict[str, Any]

_MODES = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "required"}


def written_choice(choice: ToolChoice) -> Any:
    if choice.mode is ToolMode.NAMED:
        return {"type": "function", "function": {"name": choice.name}}
    return _MODES[choice.mode]


def written_tool(tool: Tool) -> Body:
    function: Body = {"name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.is_strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def written_message(message: Message, kind: UpstreamKind) -> Body:
    body: Body = {"role": message.role, "content": message.content}
    if message.name is not None:
        body["name"] = message.name
    if message.tool_calls:
        body["tool_calls"] = [_call(each) for each in message.tool_calls]
    if message.tool_call_id is not None:
        body["tool_call_id"] = message.tool_call_id
    if message.reasoning is not None and kind in THOUGHTS:
        body[THOUGHTS[kind]] = message.reasoning
    return _for_llama_cpp(body) if kind is UpstreamKind.LLAMA_CPP else body


def _for_llama_cpp(message: Body) -> Body:
    """`llama_cpp.server` takes no content that is null, and no role that is newer than it."""
    role = "system" if message["role"] == "developer" else message["role"]
    return {**message, "role": role, "content": message["content"] or ""}


def _call(call: ToolCall) -> Body:
    named = {"name": call.name, "arguments": call.arguments}
    identity = {} if call.id is None else {"id": call.id}
    return {**identity, "type": "function", "function": named}
