"""Owns the tools of a request for a response, and which of them the model may or must call."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from api.schemas.fields import without_idle_fields
from api.schemas.strict_object import StrictObject
from api.schemas.tools import MAX_TOOLS, check_names, made_tool
from api.schemas.validation import UnknownFields, shown, validate
from core.errors import InvalidValue, UnsupportedField
from core.messages import Tool
from core.tool_choice import ToolChoice, ToolMode

_MODES = {"none": ToolMode.NONE, "auto": ToolMode.AUTO, "required": ToolMode.REQUIRED}
_IDLE_TOOL_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "allowed_callers": (["direct"],),
    "async": (False,),
    "defer_loading": (False,),
    "output_schema": (),
}


class FunctionTool(StrictObject):
    """A function that the client runs. Without `strict: true` its arguments are not held to the
    schema.
    """

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Calling:
    """What may be called. `shown_tools` and `shown_choice` are what the response says of it; of
    these tools, `tools` are those that the model is told of.
    """

    tools: tuple[Tool, ...]
    choice: ToolChoice
    shown_tools: tuple[dict[str, Any], ...]
    shown_choice: str | dict[str, Any]


def read_tools(value: object, unknown: UnknownFields) -> tuple[Tool, ...]:
    """Raises InvalidValue or UnsupportedField."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        raise InvalidValue(
            f"tools is {shown(value)}; allowed is a list of tools",
            param="tools",
        )
    tools = [_tool(index, each, unknown) for index, each in enumerate(value)]
    check_names("tools", tools)
    return tuple(tools)


def read_calling(tools: Sequence[Tool], value: object, *, is_parallel: bool) -> Calling:
    """`value` is the field tool_choice. Raises InvalidValue or UnsupportedField."""
    choice, allowed = _choice(value, is_parallel)
    names = {tool.name for tool in tools}
    for name in (*allowed, choice.name):
        if name is not None and name not in names:
            raise InvalidValue(
                f"tool_choice names {shown(name)}, which is none of the tools", param="tool_choice"
            )
    if choice.is_forced and not tools:
        raise InvalidValue(
            "tool_choice wants a call, and there are no tools: give tools", param="tool_choice"
        )
    return Calling(
        tuple(tool for tool in tools if not allowed or tool.name in allowed),
        choice,
        tuple(_shown_tool(tool) for tool in tools),
        _shown_choice(choice, allowed),
    )


def _tool(index: int, value: object, unknown: UnknownFields) -> Tool:
    path = f"tools[{index}]"
    if not isinstance(value, dict):
        raise InvalidValue(f"{path} is {shown(value)}; allowed is an object", param=path)
    kind = value.get("type")
    if isinstance(kind, str) and kind != "function":
        raise UnsupportedField(
            f"{path} is of type {json.dumps(kind[:100])}; allowed is function alone: this server"
            " runs no tools of its own",
            param=f"{path}.type",
        )
    try:
        plain = without_idle_fields(value, _IDLE_TOOL_FIELDS)
    except UnsupportedField as error:
        raise UnsupportedField(f"{path}.{error}", param=f"{path}.{error.param}") from None
    plain = unknown.left_out(FunctionTool, plain, "tools", index)
    try:
        read = validate(FunctionTool, plain, unknown)
    except InvalidValue as error:
        raise InvalidValue(f"{path}.{error}", param=f"{path}.{error.param}") from None
    return made_tool(path, read.name, read.description, read.parameters, bool(read.strict))


def _choice(value: object, is_parallel: bool) -> tuple[ToolChoice, tuple[str, ...]]:
    """The choice, and the names it is narrowed to, where it is."""
    if value is None:
        return ToolChoice(is_parallel=is_parallel), ()
    if isinstance(value, str) and value in _MODES:
        return ToolChoice(_MODES[value], is_parallel=is_parallel), ()
    fields = value if isinstance(value, dict) else {}
    kind, name = fields.get("type"), fields.get("name")
    if kind == "function" and isinstance(name, str) and len(fields) == len(("type", "name")):
        return ToolChoice(ToolMode.NAMED, name, is_parallel=is_parallel), ()
    if kind == "allowed_tools":
        return ToolChoice(_allowed_mode(fields), is_parallel=is_parallel), _allowed_names(fields)
    words = (
        f"tool_choice is {shown(value)}; allowed is none, auto, required,"
        ' {"type": "function", "name": "…"}, or allowed_tools with functions'
    )
    if isinstance(kind, str) and kind != "function":
        raise UnsupportedField(words, param="tool_choice")
    raise InvalidValue(words, param="tool_choice")


def _allowed_mode(fields: Mapping[str, Any]) -> ToolMode:
    mode = fields.get("mode")
    if mode not in ("auto", "required"):
        raise InvalidValue(
            f"tool_choice.mode is {shown(mode)}; allowed is auto or required",
            param="tool_choice.mode",
        )
    return _MODES[mode]


def _allowed_names(fields: Mapping[str, Any]) -> tuple[str, ...]:
    tools = fields.get("tools")
    found = tools if isinstance(tools, list) and len(tools) <= MAX_TOOLS else []
    if not found or not all(_is_function_name(each) for each in found):
        raise InvalidValue(
            f"tool_choice.tools is {shown(tools)}; allowed is a list of"
            ' {"type": "function", "name": "…"}',
            param="tool_choice.tools",
        )
    return tuple(each["name"] for each in found)


def _is_function_name(value: object) -> bool:
    if not isinstance(value, dict) or value.get("type") != "function":
        return False
    return isinstance(value.get("name"), str) and len(value) == len(("type", "name"))


def _shown_tool(tool: Tool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
        "strict": tool.is_strict,
    }


def _shown_choice(choice: ToolChoice, allowed: Sequence[str]) -> str | dict[str, Any]:
    mode = next((name for name, mode in _MODES.items() if mode is choice.mode), "")
    if choice.mode is ToolMode.NAMED:
        return {"type": "function", "name": choice.name}
    if allowed:
        tools = [{"type": "function", "name": name} for name in allowed]
        return {"type": "allowed_tools", "mode": mode, "tools": tools}
    return mode
