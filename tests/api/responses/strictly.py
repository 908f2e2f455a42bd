"""Holds JSON against the openai package's types: every type as it is, no field that they lack."""

from collections.abc import Iterator
from typing import Any, TypeVar

from openai.types.responses import Response, ResponseItemList, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

Model = TypeVar("Model", bound=BaseModel)
_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def check_response(body: dict[str, Any]) -> Response:
    return checked(Response.model_validate(body, strict=True))


def check_items(body: dict[str, Any]) -> ResponseItemList:
    return checked(ResponseItemList.model_validate(body, strict=True))


def check_event(event: dict[str, Any]) -> Any:
    return checked(_EVENTS.validate_python(event, strict=True))


def checked(model: Model) -> Model:
    assert not (unknown := list(_unknown(model, type(model).__name__))), unknown
    return model


def _unknown(value: object, path: str) -> Iterator[str]:
    """The fields that no type has."""
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or {})
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _unknown(each, f"{path}[{index}]")
