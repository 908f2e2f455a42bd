"""Owns how messages and tools, as OpenAI writes them, become a conversation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from core.errors import InvalidConversation, InvalidValue, UnsupportedField
from core.messages import Conversation, Message, Tool, ToolCall
from core.tool_choice import ToolChoice, ToolMode

Messages = str | Sequence[Message | Mapping[str, Any]]
Tools = Sequence[Tool | Mapping[str, Any]]

_MESSAGE_FIELDS = frozenset(
    {
        "role",
        "content",
        "name",
        "tool_calls",
        "tool_call_id",
        "reasoning",
        "reasoning_content",
        "refusal",
    }
)
_FUNCTION_FIELDS = frozenset({"name", "description", "parameters", "strict"})
_CALL_FIELDS = frozenset({"id", "type", "function", "index"})
_MODES = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "required": ToolMode.REQUIRED}


def read_conversation(
    messages: Messages, tools: Tools | None, template_kwargs: Mapping[str, Any] | None
) -> Conversation:
    """A string is one message of the user. Raises InvalidConversation, InvalidValue or
    UnsupportedField, which names the field.
    """
    given = [Message("user", messages)] if isinstance(messages, str) else messages
    turns = tuple(_message(f"messages[{index}]", each) for index, each in enumerate(given))
    if not turns:
        raise InvalidConversation("there are no messages", param="messages")
    return Conversation(turns, read_tools(tools), template_kwargs=dict(template_kwargs or {}))


def read_tools(tools: Tools | None) -> tuple[Tool, ...]:
    """Raises InvalidValue or UnsupportedField."""
    found = tuple(_tool(f"tools[{index}]", each) for index, each in enumerate(tools or ()))
    names = [tool.name for tool in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InvalidValue(
                f"tools[{index}] is a second tool with the name {name}", param=f"tools[{index}]"
            )
    return found


def read_tool_choice(
    choice: str | Mapping[str, Any] | None, tools: Sequence[Tool], *, is_parallel: bool
) -> ToolChoice:
    """`auto`, `none`, `required`, or the name of a tool, alone or as OpenAI writes it. Raises
    InvalidValue.
    """
    name = _named(choice) if isinstance(choice, Mapping) else choice
    mode = _MODES.get(name or "auto") if not isinstance(choice, Mapping) else None
    if mode is ToolMode.REQUIRED and not tools:
        raise InvalidValue("tool_choice wants a call, and there are no tools", param="tool_choice")
    if mode is not None:
        return ToolChoice(mode, is_parallel=is_parallel)
    known = [tool.name for tool in tools]
    if name not in known:
        raise InvalidValue(
            f"tool_choice is {choice!r}; allowed are {', '.join([*_MODES, *known])}",
            param="tool_choice",
        )
    return ToolChoice(ToolMode.NAMED, name, is_parallel)


def _named(choice: Mapping[str, Any]) -> str | None:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) else None


def _message(path: str, given: object) -> Message:
    if isinstance(given, Message):
        return given
    fields = _fields(path, given, _MESSAGE_FIELDS)
    content = _content(f"{path}.content", fields.get("content"))
    calls = _calls(f"{path}.tool_calls", fields.get("tool_calls"))
    if content is None and not calls:
        raise InvalidValue(
            f"{path}.content is None; allowed is a string or text parts", param=f"{path}.content"
        )
    return Message(
        role=_required(path, fields, "role"),
        content=content,
        name=_text(path, fields, "name"),
        tool_calls=calls,
        tool_call_id=_text(path, fields, "tool_call_id"),
        reasoning=_text(path, fields, "reasoning_content") or _text(path, fields, "reasoning"),
    )


def _content(path: str, given: object) -> str | None:
    """Text parts are joined by line breaks."""
    if given is None or isinstance(given, str):
        return given
    if not isinstance(given, list | tuple):
        raise InvalidValue(f"{path} is no string and no list of text parts", param=path)
    return "\n".join(_part(f"{path}[{index}]", part) for index, part in enumerate(given))


def _part(path: str, part: object) -> str:
    fields = _fields(path, part, frozenset({"type", "text"}))
    if fields.get("type") != "text":
        raise UnsupportedField(
            f"{path} is of type {fields.get('type')!r}; here are parts of type text alone",
            param=path,
        )
    return _required(path, fields, "text")


def _calls(path: str, given: object) -> tuple[ToolCall, ...]:
    found = () if given is None else given
    if not isinstance(found, list | tuple):
        raise InvalidValue(f"{path} is no list", param=path)
    return tuple(_call(f"{path}[{index}]", each) for index, each in enumerate(found))


def _call(path: str, given: object) -> ToolCall:
    fields = _fields(path, given, _CALL_FIELDS)
    inner = f"{path}.function"
    function = _fields(inner, fields.get("function"), frozenset({"name", "arguments"}))
    return ToolCall(
        _required(inner, function, "name"),
        _required(inner, function, "arguments"),
        _text(path, fields, "id"),
    )


def _tool(path: str, given: object) -> Tool:
    """No parameters at all mean an object without any, as with OpenAI."""
    if isinstance(given, Tool):
        return given
    fields = _fields(path, given, frozenset({"type", "function"}))
    if fields.get("type") != "function":
        raise UnsupportedField(
            f"{path} is of type {fields.get('type')!r}; here are tools of type function alone",
            param=f"{path}.type",
        )
    inner = f"{path}.function"
    function = _fields(inner, fields.get("function"), _FUNCTION_FIELDS)
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        raise InvalidValue(
            f'{inner}.parameters is no JSON Schema of type "object"', param=f"{inner}.parameters"
        )
    return Tool(
        _required(inner, function, "name"),
        _text(inner, function, "description"),
        {"type": "object", **schema},
        function.get("strict") is True,
    )


def _fields(path: str, given: object, known: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidValue(f"{path} is no dict", param=path)
    for name, value in given.items():
        if name not in known and value is not None:
            raise UnsupportedField(f"{path}.{name} is not honoured here", param=f"{path}.{name}")
    return given


def _required(path: str, fields: Mapping[str, Any], name: str) -> str:
    found = _text(path, fields, name)
    if found is None:
        raise InvalidValue(f"{path}.{name} is missing", param=f"{path}.{name}")
    return found


def _text(path: str, fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidValue(f"{path}.{name} is no string", param=f"{path}.{name}")
    return value
