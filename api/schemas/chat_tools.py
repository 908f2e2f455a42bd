"""Owns the fields of a chat request that are about tools, as OpenAI has them."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from api.schemas.strict_object import StrictObject
from api.schemas.tools import MAX_NAME_CHARACTERS, MAX_TOOLS, check_names, made_tool
from api.schemas.validation import shown
from core.errors import InvalidValue, UnsupportedField
from core.messages import Tool
from core.tool_choice import ToolChoice, ToolMode

_MODES = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "required": ToolMode.REQUIRED}


class FunctionDefinition(StrictObject):
    """A function; `parameters` is a JSON Schema of its arguments."""

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = Field(None, description="Arguments always match the schema.")


class ToolField(StrictObject):
    """A tool of the one kind that there is."""

    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(StrictObject):
    """The name of a tool."""

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARACTERS)


class NamedTool(StrictObject):
    """A tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


def read_tools(tools: list[ToolField] | None) -> tuple[Tool, ...]:
    """Raises InvalidValue."""
    made = tuple(
        made_tool(
            f"tools[{index}].function",
            each.function.name,
            each.function.description,
            each.function.parameters,
            bool(each.function.strict),
        )
        for index, each in enumerate(tools or ())
    )
    check_names("tools", made)
    return made


def read_tool_choice(
    choice: str | NamedTool | None, is_parallel: bool | None, has_tools: bool
) -> ToolChoice:
    """Raises InvalidValue for a choice where there is nothing to choose from."""
    parallel = is_parallel is not False
    if choice is None:
        return ToolChoice(is_parallel=parallel)
    if not has_tools and choice not in ("none", "auto"):
        raise InvalidValue(
            "tool_choice wants a call, and there are no tools: give tools", param="tool_choice"
        )
    if isinstance(choice, str):
        return ToolChoice(_MODES[choice], is_parallel=parallel)
    return ToolChoice(ToolMode.NAMED, choice.function.name, parallel)


def plain_tools(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body, its fields about tools checked as far as pydantic would name them badly: of a
    union, it names the branch where a client looks for the field.

    Raises InvalidValue, or UnsupportedField for kinds of tool that there are elsewhere.
    """
    choice = body.get("tool_choice")
    if choice is not None:
        _check_choice(choice)
    tools = body.get("tools")
    if not isinstance(tools, list):
        return body
    for index, tool in enumerate(tools[:MAX_TOOLS]):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind != "function":
            raise UnsupportedField(
                f"tools[{index}] is of type {shown(kind)}; here are tools of type function alone",
                param=f"tools[{index}].type",
            )
    return body


def _check_choice(choice: object) -> None:
    allowed = '"auto", "none", "required" or {"type": "function", "function": {"name": "…"}}'
    if isinstance(choice, str) and choice in _MODES:
        return
    fields = choice if isinstance(choice, dict) else {}
    function = fields.get("function")
    has_name = isinstance(function, dict) and isinstance(function.get("name"), str)
    if fields.get("type") != "function" or not has_name or len(fields) > 2:
        raise InvalidValue(
            f"tool_choice is {shown(choice)}; allowed is {allowed}", param="tool_choice"
        )
