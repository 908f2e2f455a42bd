"""Holds what the server sends to the types of the client libraries, strictly."""

from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter


def assert_typed(kind: Any, value: Any, extras: frozenset[str] = frozenset()) -> None:
    """The value is of the library's type without any conversion, and has no field that the type
    lacks, at any depth; `extras` are names that may stand beside them.
    """
    model = TypeAdapter(kind).validate_python(value, strict=True)
    unknown = set(_unknown(model, "")) - {""}
    assert not {path for path in unknown if path.rpartition(".")[2] not in extras}, unknown


def _unknown(model: Any, path: str) -> Iterator[str]:
    if isinstance(model, BaseModel):
        yield from (f"{path}.{name}" for name in model.model_extra or {})
        for name in type(model).model_fields:
            yield from _unknown(getattr(model, name), f"{path}.{name}")
    elif isinstance(model, list):
        for each in model:
            yield from _unknown(each, path)


def members(union: Any) -> list[Any]:
    """The classes of a union, however it is annotated."""
    if get_origin(union) is Annotated:
        return members(get_args(union)[0])
    if get_origin(union) in (Union, UnionType):
        return [each for part in get_args(union) for each in members(part)]
    return [union]
