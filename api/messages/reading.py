"""Owns how a Messages body is read, block by block, so that an error names the block at fault.

Of a union, pydantic names the branch where a client looks for the field.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from api.schemas.chat import MAX_MESSAGES
from api.schemas.fields import without_idle_fields
from api.schemas.messages import (
    IDLE_MESSAGES_FIELDS,
    IDLE_TOOL_FIELDS,
    MAX_BLOCKS,
    Block,
    MessagesTool,
    MessagesTurn,
    PromptFields,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from api.schemas.tools import MAX_TOOLS
from api.schemas.validation import UnknownFields, path_of, shown, validate
from core.errors import InvalidValue, RequestError, UnsupportedField

Fields = TypeVar("Fields", bound=PromptFields)
Part = TypeVar("Part", bound=BaseModel)
Step = int | str

_BLOCKS: Mapping[str, type[Block]] = {
    "text": TextBlock,
    "tool_use": ToolUseBlock,
    "tool_result": ToolResultBlock,
    "thinking": ThinkingBlock,
    "redacted_thinking": RedactedThinkingBlock,
}
_KINDS_OF_ROLE = {
    "user": ("text", "tool_result"),
    "assistant": ("text", "tool_use", "thinking", "redacted_thinking"),
    "system": ("text",),
}


def read_messages(schema: type[Fields], body: Mapping[str, Any], unknown: UnknownFields) -> Fields:
    """Raises InvalidValue or UnsupportedField."""
    plain = without_idle_fields(body, IDLE_MESSAGES_FIELDS)
    reader = _Reader(unknown)
    if isinstance(messages := plain.get("messages"), list) and len(messages) <= MAX_MESSAGES:
        plain["messages"] = [reader.message(i, message) for i, message in enumerate(messages)]
    if isinstance(system := plain.get("system"), list):
        plain["system"] = reader.blocks(("system",), system, ("text",))
    if isinstance(tools := plain.get("tools"), list) and len(tools) <= MAX_TOOLS:
        plain["tools"] = [reader.tool(i, tool) for i, tool in enumerate(tools)]
    request = validate(schema, plain, unknown)
    request.check_together()
    return request


@dataclass(slots=True)
class _Reader:
    """Counts the blocks of one body, of which no more than MAX_BLOCKS are read."""

    unknown: UnknownFields
    num_blocks: int = 0

    def message(self, index: int, message: object) -> object:
        """What is no object of a known role is left for the schema to refuse."""
        kinds = _KINDS_OF_ROLE.get(str(message.get("role"))) if isinstance(message, dict) else None
        if kinds is None or not isinstance(message, dict):
            return message
        fields = self.unknown.left_out(MessagesTurn, message, "messages", index)
        path = ("messages", index, "content")
        content = fields.get("content")
        if not isinstance(content, str | list):
            raise InvalidValue(
                f"{path_of(path)} is {shown(content)}; allowed is a string or a list of blocks",
                param=path_of(path),
            )
        blocks = content if isinstance(content, str) else self.blocks(path, content, kinds)
        return MessagesTurn.model_construct(role=message["role"], content=blocks)

    def blocks(
        self, path: tuple[Step, ...], content: list[Any], kinds: tuple[str, ...]
    ) -> list[Block]:
        self.num_blocks += len(content)
        if self.num_blocks > MAX_BLOCKS:
            raise InvalidValue(
                f"{path_of(path)}: the request holds more than {MAX_BLOCKS} blocks",
                param=path_of(path),
            )
        return [self._block((*path, at), block, kinds) for at, block in enumerate(content)]

    def tool(self, index: int, tool: object) -> object:
        """Raises UnsupportedField for the tools that Anthropic's own servers or models bring."""
        if not isinstance(tool, dict):
            return tool
        path = ("tools", index)
        kind = tool.get("type")
        if isinstance(kind, str) and kind != "custom":
            raise UnsupportedField(
                f"{path_of(path)} is {json.dumps(kind[:100])}, a tool of Anthropic's own; allowed"
                " are tools that the client defines",
                param=path_of(path),
            )
        try:
            tool = without_idle_fields(tool, IDLE_TOOL_FIELDS)
        except UnsupportedField as error:
            raise _placed(error, path) from None
        return self._part(MessagesTool, path, tool)

    def _block(self, path: tuple[Step, ...], block: object, kinds: tuple[str, ...]) -> Block:
        kind = block.get("type") if isinstance(block, dict) else None
        if not isinstance(block, dict) or not isinstance(kind, str):
            raise InvalidValue(
                f"{path_of(path)} is {shown(block)}; allowed is a block with a type",
                param=path_of(path),
            )
        if kind not in _BLOCKS:
            raise UnsupportedField(
                f"{path_of(path)} is of type {json.dumps(kind[:100])}; this model reads text alone",
                param=path_of(path),
            )
        if kind not in kinds:
            raise InvalidValue(
                f"{path_of(path)} is of type {kind}; allowed here is {' or '.join(kinds)}",
                param=path_of(path),
            )
        if kind == "tool_result" and isinstance(inner := block.get("content"), list):
            texts = self.blocks((*path, "content"), inner, ("text",))
            block = {**block, "content": texts}
        return self._part(_BLOCKS[kind], path, block)

    def _part(self, schema: type[Part], path: tuple[Step, ...], fields: dict[str, Any]) -> Part:
        known = self.unknown.left_out(schema, fields, *path)
        try:
            return validate(schema, known, self.unknown)
        except InvalidValue as error:
            raise _placed(error, path) from None


def _placed(error: RequestError, path: tuple[Step, ...]) -> RequestError:
    """The same error, told of the field where it stands in the body."""
    within = error.param or ""
    param = f"{path_of(path)}.{within}" if within else path_of(path)
    message = str(error).removeprefix(within)
    return type(error)(f"{param}{message}", param=param)
