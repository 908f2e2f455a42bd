"""Owns what an event of a stream says of its request: part of an answer, an error, or neither.

Until a part of an answer has come, another server can still be asked; so it is known what servers
send before it. Knows nothing of how events come.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec

from backends.remote.event_cutting import event_fields, num_line_ends

# What servers send before an answer is shorter, and so are errors that anybody reads. What is
# longer is looked into no further: lists in it may be millions, which take seconds to make.
LONGEST_READ = 64 * 1024
# An event whose data is cut into more lines is none of a server that means well.
MOST_LINES = 10_000
# What a choice or its delta says without saying anything of an answer.
_NOT_ANSWERING = {"index", "role", "object", "stop_reason", "prompt_token_ids", "prompt_logprobs"}
# Typed events that other APIs than chats send first.
_OPENING_TYPES = {
    "message_start",
    "ping",
    "response.created",
    "response.in_progress",
    "response.queued",
}


class _Event(msgspec.Struct):
    """What is looked at of an event's object. All else is stepped over."""

    choices: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    object: msgspec.Raw = msgspec.Raw()
    type: msgspec.Raw = msgspec.Raw()
    code: msgspec.Raw = msgspec.Raw()
    status: msgspec.Raw = msgspec.Raw()
    status_code: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Event).decode
# Stands for a long value: one that says something.
_LONG = ("...",)


class EventSense(Enum):
    """OPENING: nothing of an answer yet. UNREADABLE: not what such a server may send."""

    OPENING = auto()
    ANSWER = auto()
    DONE = auto()
    ERROR = auto()
    UNREADABLE = auto()


@dataclass(frozen=True, slots=True)
class EventReading:
    """`body` is the JSON of an ERROR, `status` the HTTP status that stands in it, if one does."""

    sense: EventSense
    status: int | None = None
    body: bytes = b""


_NOTHING = EventReading(EventSense.OPENING)


def read_event(event: bytes) -> EventReading:
    if event[:1] in (b"\n", b"\r"):
        return _NOTHING
    if num_line_ends(event) > MOST_LINES:
        return EventReading(EventSense.UNREADABLE)
    fields = event_fields(event)
    if b"error" in fields:  # llama.cpp's way: the field's name is not "data"
        return _error(fields[b"error"])
    data = fields.get(b"data", b"")
    if fields.get(b"event") == b"error":
        return _error(data)
    if not data:
        return _NOTHING
    if data.strip() == b"[DONE]":
        return EventReading(EventSense.DONE)
    value = _object(data)
    if value is None:
        return EventReading(EventSense.UNREADABLE)
    if is_error(value):
        return _error(data)
    return EventReading(EventSense.ANSWER if _has_answer(value) else EventSense.OPENING)


def is_error(value: Mapping[str, Any]) -> bool:
    """Whether a body's object says that its request failed."""
    kinds = (value.get("object"), value.get("type"))
    return bool(value.get("error")) or "error" in kinds


def error_status(value: Mapping[str, Any]) -> int | None:
    """The HTTP status that an error's object names."""
    inner = value.get("error")
    for each in (inner if isinstance(inner, dict) else {}, value):
        for name in ("code", "status", "status_code"):
            number = each.get(name)
            if isinstance(number, str) and number.isdecimal() and len(number) == 3:
                number = int(number)
            if type(number) is int and 400 <= number < 600:
                return number
    return None


def _error(data: bytes) -> EventReading:
    value = _object(data)
    return EventReading(EventSense.ERROR, error_status(value or {}), data[:LONGEST_READ])


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        event = _decode(data)
        raws = {name: getattr(event, name) for name in event.__struct_fields__}
        return {name: _value(raw) for name, raw in raws.items() if memoryview(raw)}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _value(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw) if len(memoryview(raw)) <= LONGEST_READ else _LONG


def _has_answer(value: Mapping[str, Any]) -> bool:
    choices = value.get("choices")
    if choices is None:
        kind = value.get("type")
        return not isinstance(kind, str) or kind not in _OPENING_TYPES
    if choices is _LONG:
        return True
    if not isinstance(choices, list) or not choices:
        return bool(value.get("usage"))
    return any(_says_something(choice) for choice in choices)


def _says_something(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return True
    delta = choice.get("delta")
    parts = {**choice, **(delta if isinstance(delta, dict) else {})}
    return any(bool(part) for name, part in parts.items() if name not in _NOT_ANSWERING | {"delta"})
