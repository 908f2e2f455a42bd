"""Holds bodies and events against the anthropic package's own types, strictly."""

from collections.abc import Iterable
from typing import Any

from anthropic.types import ErrorResponse, Message, MessageTokensCount, RawMessageStreamEvent
from pydantic import BaseModel, TypeAdapter

_EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def checked_message(body: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(Message.model_validate(body, strict=True))
    return body


def checked_event(event: dict[str, Any]) -> dict[str, Any]:
    _refuse_unknown(_EVENTS.validate_python(event, strict=True))
    return event


def checked_count(body: dict[str, Any]) -> int:
    found = MessageTokensCount.model_validate(body, strict=True)
    _refuse_unknown(found)
    return found.input_tokens


def checked_error(body: dict[str, Any]) -> dict[str, Any]:
    """The error in it. The package's types lack one that Anthropic documents."""
    error: dict[str, Any] = body["error"]
    known = "api_error" if error["type"] == "request_too_large" else error["type"]
    body = {**body, "error": {**error, "type": known}}
    _refuse_unknown(ErrorResponse.model_validate(body, strict=True))
    assert body["request_id"].startswith("req_")
    return error


def _refuse_unknown(value: object) -> None:
    """The package's types keep fields that they do not know: here none may be."""
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{type(value).__name__}: {value.model_extra}"
        for name in type(value).model_fields:
            _refuse_unknown(getattr(value, name))
    elif isinstance(value, Iterable) and not isinstance(value, str | dict):
        for each in value:
            _refuse_unknown(each)
