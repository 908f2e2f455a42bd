"""Owns how items become messages: neighbouring items of one assistant turn are one message."""

from collections.abc import Iterator, Sequence
from typing import Any

from api.reading import decoded_quickly
from api.responses.records import Record
from api.schemas.responses.items import Item
from core.errors import InvalidValue
from core.messages import Message, ToolCall

_SYSTEM_ROLES = ("system", "developer")


def made_messages(instructions: str | None, items: Sequence[Item]) -> tuple[Message, ...]:
    """`instructions` and the system messages right after them are one: many templates know but one,
    at the beginning. Raises InvalidValue.
    """
    messages = list(_messages(items))
    if instructions is None:
        return tuple(messages)
    texts = [instructions]
    while messages and messages[0].role in _SYSTEM_ROLES:
        texts.append(messages.pop(0).content or "")
    return (Message("system", "\n\n".join(texts)), *messages)


def kept_items(response: dict[str, Any]) -> list[Item]:
    """What a response adds to the conversation: all but a call that was cut off."""
    return [
        item
        for item in response["output"]
        if item["type"] != "function_call" or item["status"] == "completed"
    ]


def items_after(record: Record) -> list[Item]:
    """What stands before a response that goes on with this one: its items, then its output."""
    items = [decoded_quickly(item) for item in record.items]
    return items + kept_items(decoded_quickly(record.response))


def _messages(items: Sequence[Item]) -> Iterator[Message]:
    turn = _Turn()
    call_ids: set[str] = set()
    for index, item in enumerate(items):
        if _is_assistants(item):
            if not turn.takes(item):
                yield turn.message()
                turn = _Turn()
            turn.add(item)
            continue
        if not turn.is_empty:
            call_ids.update(turn.call_ids)
            yield turn.message()
            turn = _Turn()
        yield _other(item, call_ids, index)
    if not turn.is_empty:
        yield turn.message()


class _Turn:
    """An assistant's turn that is being put together: thoughts, then a text, then calls."""

    def __init__(self) -> None:
        self._thoughts: list[str] = []
        self._text: str | None = None
        self._calls: list[ToolCall] = []

    @property
    def is_empty(self) -> bool:
        return not self._thoughts and self._text is None and not self._calls

    @property
    def call_ids(self) -> list[str]:
        return [call.id for call in self._calls if call.id is not None]

    def takes(self, item: Item) -> bool:
        """Whether the item stands after all that is there."""
        match item["type"]:
            case "reasoning":
                return self._text is None and not self._calls
            case "message":
                return self._text is None and not self._calls
            case _:
                return True

    def add(self, item: Item) -> None:
        match item["type"]:
            case "reasoning":
                self._thoughts.append(_thought(item))
            case "message":
                self._text = "".join(_part_text(part) for part in item["content"])
            case _:
                self._calls.append(ToolCall(item["name"], item["arguments"], item["call_id"]))

    def message(self) -> Message:
        """A turn of thoughts alone said nothing."""
        text = "" if self._text is None and not self._calls else self._text
        thoughts = "\n".join(each for each in self._thoughts if each)
        return Message("assistant", text, tool_calls=tuple(self._calls), reasoning=thoughts or None)


def _is_assistants(item: Item) -> bool:
    if item["type"] == "message":
        return bool(item["role"] == "assistant")
    return item["type"] in ("reasoning", "function_call")


def _other(item: Item, call_ids: set[str], index: int) -> Message:
    if item["type"] == "message":
        return Message(item["role"], "\n".join(_part_text(part) for part in item["content"]))
    if item["call_id"] not in call_ids:
        raise InvalidValue(
            f"no function_call with the call_id {item['call_id']!r} stands before its"
            " function_call_output: send the call too, or previous_response_id",
            param="input",
        )
    output = item["output"]
    text = output if isinstance(output, str) else "\n".join(map(_part_text, output))
    return Message("tool", text, tool_call_id=item["call_id"])


def _thought(item: Item) -> str:
    """The thoughts themselves, or what is left of them."""
    parts = item["content"] or item["summary"]
    return "\n".join(_part_text(part) for part in parts)


def _part_text(part: dict[str, Any]) -> str:
    text: str = part["refusal"] if part["type"] == "refusal" else part["text"]
    return text
