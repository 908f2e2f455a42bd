"""Owns the checked reading of a conversation that the named formats share. Knows no template."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from core.errors import InvalidConversation
from core.messages import Conversation, Message, Tool, ToolCall


class Role(Enum):
    """Who speaks in a turn. A `developer` message is a system message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class Turn:
    """A message that was found well formed. `index` is its place in the request's messages.

    An open turn, which the answer goes on with, ends with its content.
    """

    index: int
    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_open: bool = False

    @property
    def is_blank_and_open(self) -> bool:
        """Where a format trims text, an open turn without any ends before the space for it."""
        return self.is_open and not self.content.strip()


def refuse(reason: str, index: int | None = None) -> InvalidConversation:
    """The error for a conversation, or for the one message in it that is at fault."""
    if index is None:
        return InvalidConversation(reason, param="messages")
    return InvalidConversation(f"messages[{index}]: {reason}", param="messages")


def read_turns(
    conversation: Conversation, aliases: Mapping[str, Role] | None = None
) -> tuple[Turn, ...]:
    """The messages as turns. `aliases` are further role names that a format knows.

    The `name` of a message has no place in any named format's template and is not rendered.
    Raises InvalidConversation for an empty conversation, an unknown role, missing content, tool
    calls outside an assistant message, and a last message that can't be continued where it is to.
    """
    check_ends(conversation)
    known = {role.value: role for role in Role} | {"developer": Role.SYSTEM} | dict(aliases or {})
    turns = [
        _read_turn(message, index, known) for index, message in enumerate(conversation.messages)
    ]
    if conversation.continue_final_message:
        turns[-1] = replace(turns[-1], is_open=True)
    return tuple(turns)


def check_ends(conversation: Conversation) -> None:
    """Raises InvalidConversation where there is no message, or the last one is to be continued and
    is no assistant's text."""
    if not conversation.messages:
        raise refuse("a conversation needs at least one message")
    if not conversation.continue_final_message:
        return
    index, last = len(conversation.messages) - 1, conversation.messages[-1]
    if last.role != "assistant":
        reason = f"continue_final_message needs an assistant message here, not {last.role!r}"
        raise refuse(reason, index)
    if last.tool_calls:
        raise refuse("continue_final_message can't continue tool calls", index)
    if last.content is None:
        raise refuse("continue_final_message needs content to continue", index)


def refuse_unknown_variables(
    conversation: Conversation, format_name: str, known: frozenset[str]
) -> None:
    """Raises InvalidConversation for template variables that a named format doesn't have."""
    unknown = sorted(set(conversation.template_kwargs) - known)
    if unknown:
        raise InvalidConversation(
            f"the chat format {format_name} has no template variable {unknown[0][:64]!r}",
            param="chat_template_kwargs",
        )


def tool_definition(tool: Tool) -> dict[str, Any]:
    """The tool as OpenAI's wire format spells it, which is what published templates read."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = plain_json(tool.parameters)
    return {"type": "function", "function": function}


def call_arguments(call: ToolCall) -> object:
    """The arguments as a JSON value, for templates write them anew; no text means no arguments.

    Text that is not JSON stays a string: a model may have written it, and the client sends back
    what it got. Raises InvalidConversation where it nests too deep.
    """
    if not call.arguments.strip():
        return {}
    try:
        return json.loads(call.arguments)
    except ValueError:
        return call.arguments
    except RecursionError:
        raise refuse(f"the arguments of the tool call {call.name!r} nest too deep") from None


def plain_json(value: object) -> object:
    """A copy of a JSON value out of plain dicts and lists, as `json.dumps` and Jinja want them.

    Raises InvalidConversation where it nests too deep.
    """
    try:
        return _copy_json(value)
    except RecursionError:
        raise refuse("a JSON value nests too deep") from None


def to_json(value: object, indent: int | None = None) -> str:
    """JSON as the `tojson` filter of published templates writes it: not ASCII, not HTML-safe.

    Raises InvalidConversation where it nests too deep.
    """
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    except RecursionError:
        raise refuse("a JSON value nests too deep") from None


def _copy_json(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _copy_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy_json(item) for item in value]
    return value


def _read_turn(message: Message, index: int, known: Mapping[str, Role]) -> Turn:
    role = known.get(message.role)
    if role is None:
        raise refuse(f"unknown role {message.role!r}; known are {', '.join(known)}", index)
    if message.tool_calls and role is not Role.ASSISTANT:
        raise refuse(f"a message of role {message.role!r} can't hold tool calls", index)
    if message.content is None and not message.tool_calls:
        raise refuse(f"a message of role {message.role!r} needs content", index)
    return Turn(index, role, message.content or "", message.tool_calls, message.tool_call_id)
