"""Owns what a Messages request says of tools, thinking and structure, as the pipeline's values."""

from api.schemas.messages import PromptFields
from api.schemas.tools import check_names, made_tool
from core.errors import InvalidValue
from core.messages import Tool
from core.structures import JsonSchema
from core.thinking import Effort, Thinking
from core.tool_choice import ToolChoice, ToolMode

_MODES = {
    "auto": ToolMode.AUTO,
    "any": ToolMode.REQUIRED,
    "tool": ToolMode.NAMED,
    "none": ToolMode.NONE,
}
# The most that there is.
_EFFORTS = {"max": Effort.XHIGH}


def tools_of(request: PromptFields) -> tuple[Tool, ...]:
    """Raises InvalidValue."""
    tools = tuple(
        made_tool(
            f"tools[{index}]",
            tool.name,
            tool.description,
            tool.input_schema,
            is_strict=bool(tool.strict),
        )
        for index, tool in enumerate(request.tools or ())
    )
    check_names("tools", tools)
    return tools


def tool_choice_of(request: PromptFields) -> ToolChoice:
    """Raises InvalidValue for the name of no tool."""
    choice = request.tool_choice
    if choice is None:
        return ToolChoice()
    names = [tool.name for tool in request.tools or ()]
    if choice.name is not None and choice.name not in names:
        raise InvalidValue(
            f"tool_choice.name is {choice.name[:100]!r}, which is none of the tools",
            param="tool_choice.name",
        )
    is_parallel = not choice.disable_parallel_tool_use
    return ToolChoice(_MODES[choice.type], choice.name, is_parallel=is_parallel)


def unbroken_tools(request: PromptFields) -> frozenset[str]:
    """The tools whose calls' input is to come in one piece."""
    tools = request.tools or ()
    return frozenset(tool.name for tool in tools if tool.eager_input_streaming is False)


def thinking_of(request: PromptFields) -> Thinking:
    """Where nothing is said of thinking, it is left to the model."""
    wanted, config = request.thinking, request.output_config
    if wanted is not None and wanted.type == "disabled":
        return Thinking(Effort.NONE)
    effort = None if config is None else config.effort
    return Thinking(
        effort=None if effort is None else _EFFORTS.get(effort) or Effort(effort),
        budget=None if wanted is None else wanted.budget_tokens,
    )


def structure_of(request: PromptFields) -> JsonSchema | None:
    wanted = request.format
    if wanted is None:
        return None
    param = "output_config.format" if request.output_format is None else "output_format"
    return JsonSchema(wanted.schema_, param=param)
