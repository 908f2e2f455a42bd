"""Owns the items of a request's input: what each kind may hold, and how a wrong one is named.

A read item is plain JSON with an id and a status, as it is listed and kept.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from api.schemas.fields import without_idle_fields
from api.schemas.responses.parts import (
    check_num_parts,
    message_parts,
    output_parts,
    thought_parts,
)
from api.schemas.strict_object import StrictObject
from api.schemas.validation import UnknownFields, shown, validate
from core.errors import InvalidValue, RequestError, UnsupportedField

MAX_ITEMS = 100_000

Item = dict[str, Any]
Status = Literal["in_progress", "completed", "incomplete"]

# What clients echo of items that they were given, where it says nothing.
_IDLE_ITEM_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "phase": (),
    "async": (False,),
    "caller": (),
    "namespace": (),
    "created_by": (),
    "encrypted_content": (),
}


class InputItem(StrictObject):
    """What every item may have."""

    id: str | None = Field(default=None, max_length=200)
    status: Status | None = None

    def _made(self, prefix: str, **fields: Any) -> Item:
        made = {"id": self.id or prefix + uuid.uuid4().hex, **fields}
        return {**made, "status": self.status or "completed"}


class MessageItem(InputItem):
    """A message. Its content is a string, or a list of text parts."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Any

    def read(self, path: str) -> Item:
        content = message_parts(f"{path}.content", self.content, self.role)
        return self._made("msg_", type="message", role=self.role, content=content)


class FunctionCallItem(InputItem):
    """A call that the model made; `arguments` is JSON as text."""

    type: Literal["function_call"]
    call_id: str = Field(min_length=1, max_length=200)
    name: str = Field(min_length=1)
    arguments: str

    def read(self, _: str) -> Item:
        return self._made(
            "fc_",
            type="function_call",
            call_id=self.call_id,
            name=self.name,
            arguments=self.arguments,
        )


class FunctionCallOutputItem(InputItem):
    """What a called function gave back: a string, or a list of text parts."""

    type: Literal["function_call_output"]
    call_id: str = Field(min_length=1, max_length=200)
    output: Any

    def read(self, path: str) -> Item:
        output = output_parts(f"{path}.output", self.output)
        kind = "function_call_output"
        return self._made("fco_", type=kind, call_id=self.call_id, output=output)


class ReasoningItem(InputItem):
    """What the model thought before the assistant's items that follow."""

    type: Literal["reasoning"]
    summary: Any = None
    content: Any = None

    def read(self, path: str) -> Item:
        summary = thought_parts(f"{path}.summary", self.summary, "summary_text")
        content = thought_parts(f"{path}.content", self.content, "reasoning_text")
        return self._made("rs_", type="reasoning", summary=summary, content=content)


_Known = type[MessageItem | FunctionCallItem | FunctionCallOutputItem | ReasoningItem]
_SCHEMAS: Mapping[str, _Known] = {
    "message": MessageItem,
    "function_call": FunctionCallItem,
    "function_call_output": FunctionCallOutputItem,
    "reasoning": ReasoningItem,
}


def read_items(value: object, unknown: UnknownFields) -> tuple[Item, ...]:
    """Raises InvalidValue or UnsupportedField. A string is a user's message."""
    if isinstance(value, str):
        return (MessageItem(role="user", content=value).read("input"),)
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ITEMS:
        raise InvalidValue(
            f"input is {shown(value)}; allowed is a string or a list of items, none empty",
            param="input",
        )
    check_num_parts(value)
    return tuple(_item(index, each, unknown) for index, each in enumerate(value))


def _item(index: int, value: object, unknown: UnknownFields) -> Item:
    path = f"input[{index}]"
    schema = _schema_of(path, value)
    assert isinstance(value, dict)
    try:
        plain = without_idle_fields(value, _IDLE_ITEM_FIELDS)
    except UnsupportedField as error:
        words, param = _placed(path, error)
        raise UnsupportedField(words, param=param) from None
    plain = unknown.left_out(schema, plain, "input", index)
    try:
        item = validate(schema, plain, unknown)
    except InvalidValue as error:
        words, param = _placed(path, error)
        raise InvalidValue(words, param=param) from None
    return item.read(path)


def _schema_of(path: str, value: object) -> _Known:
    """Raises InvalidValue or UnsupportedField. An item without a type is a message."""
    if not isinstance(value, dict):
        raise InvalidValue(f"{path} is {shown(value)}; allowed is an object", param=path)
    kind = value.get("type", "message")
    if isinstance(kind, str) and kind in _SCHEMAS:
        return _SCHEMAS[kind]
    if kind == "item_reference":
        raise UnsupportedField(
            f"{path} is an item_reference; items can't be looked up here: send the item itself, or"
            " previous_response_id",
            param=path,
        )
    given = json.dumps(kind[:100]) if isinstance(kind, str) else shown(kind)
    raise UnsupportedField(
        f"{path} is of type {given}; allowed are {', '.join(_SCHEMAS)}", param=f"{path}.type"
    )


def _placed(path: str, error: RequestError) -> tuple[str, str]:
    """The words and the field of an error that knows no item."""
    return f"{path}.{error}", f"{path}.{error.param}"
