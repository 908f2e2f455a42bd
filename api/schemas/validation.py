"""Turns what pydantic found wrong into one InvalidValue: the field, its value, what is allowed.

By a table of error types: pydantic's own words stay inside.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.errors import InvalidValue

Body = TypeVar("Body", bound=BaseModel)

_ALLOWED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "an integer of ordinary size",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "literal_error": "{expected}",
    "greater_than": "a value above {gt}",
    "greater_than_equal": "a value of at least {ge}",
    "less_than_equal": "a value of at most {le}",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "too_long": "at most {max_length} items",
    "too_short": "at least {min_length} items",
}
_MAX_SHOWN = 80
_PIECEWISE = json.JSONEncoder(ensure_ascii=False)
_MAX_STEP = 100
_MAX_REMEMBERED = 50


class UnknownFields:
    """What becomes of fields that no schema has: refused, or left out and remembered by path."""

    def __init__(self, *, are_refused: bool) -> None:
        self._are_refused = are_refused
        self.paths: list[str] = []
        self.num_unnamed = 0

    def left_out(
        self, schema: type[BaseModel], body: Mapping[str, Any], *parents: int | str
    ) -> dict[str, Any]:
        """The body's fields that `schema` has. Raises InvalidValue for the first other one, where
        they are refused.
        """
        known = schema.__pydantic_fields__
        if known.keys() >= body.keys():
            return dict(body)
        for name in body:
            if name not in known:
                self._meet(path_of((*parents, name)))
        return {name: value for name, value in body.items() if name in known}

    def _meet(self, path: str) -> None:
        if self._are_refused:
            raise InvalidValue(f"{path} is no field of this request", param=path)
        if len(self.paths) < _MAX_REMEMBERED:
            self.paths.append(path)
        else:
            self.num_unnamed += 1


def validate(schema: type[Body], body: Mapping[str, Any], unknown: UnknownFields) -> Body:
    """Raises InvalidValue for the first field that is wrong.

    Unknown fields are looked for first: pydantic would describe each one of millions.
    """
    try:
        return schema.model_validate(unknown.left_out(schema, body))
    except ValidationError as error:
        raise _named(error.errors(include_url=False)[0]) from None


def path_of(location: tuple[int | str, ...]) -> str:
    """`messages[0].content` for ("messages", 0, "content"); a long name is shortened."""
    path = ""
    for step in location:
        name = str(step) if len(str(step)) <= _MAX_STEP else str(step)[:_MAX_STEP] + "…"
        path += f"[{name}]" if isinstance(step, int) else f".{name}" if path else name
    return path


def shown(value: object) -> str:
    """A value as JSON writes it, shortened; of a large one no more is written than is shown."""
    text = ""
    for piece in _PIECEWISE.iterencode(_cut(value)):
        text += piece[: _MAX_SHOWN + 1]
        if len(text) > _MAX_SHOWN:
            return text[:_MAX_SHOWN] + "…"
    return text


def _cut(value: object) -> object:
    return value[: _MAX_SHOWN + 1] if isinstance(value, str) else value


def _named(found: ErrorDetails) -> InvalidValue:
    path, kind = path_of(found["loc"]), found["type"]
    if kind == "missing":
        return InvalidValue(f"{path} is missing: it is required", param=path)
    if kind == "extra_forbidden":
        return InvalidValue(f"{path} is no field of this request", param=path)
    value = shown(found["input"])
    return InvalidValue(f"{path} is {value}; allowed is {_allowed(found)}", param=path)


def _allowed(found: ErrorDetails) -> str:
    """Other kinds than those of the table are our own."""
    if found["type"] not in _ALLOWED:
        return found["msg"].removeprefix("allowed is ")
    context = dict(found.get("ctx", {}))
    if "expected" in context:  # as Python writes it
        context["expected"] = context["expected"].replace("'", '"').replace("False", "false")
    return _ALLOWED[found["type"]].format(**context)
