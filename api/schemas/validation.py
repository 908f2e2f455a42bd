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
_MAX_STEP = 100


def validate(schema: type[Body], body: Mapping[str, Any]) -> Body:
    """Raises InvalidValue for the first field that is wrong.

    Unknown fields are looked for first: pydantic would describe each one of millions.
    """
    refuse_unknown(schema, body)
    try:
        return schema.model_validate(body)
    except ValidationError as error:
        raise _named(error.errors(include_url=False)[0]) from None


def refuse_unknown(schema: type[BaseModel], body: Mapping[str, Any], *parents: int | str) -> None:
    """Raises InvalidValue that names the first field that `schema` does not have."""
    unknown = next((name for name in body if name not in schema.model_fields), None)
    if unknown is not None:
        path = path_of((*parents, unknown))
        raise InvalidValue(f"{path} is no field of this request", param=path)


def path_of(location: tuple[int | str, ...]) -> str:
    """`messages[0].content` for ("messages", 0, "content"); a long name is shortened."""
    path = ""
    for step in location:
        name = str(step) if len(str(step)) <= _MAX_STEP else str(step)[:_MAX_STEP] + "…"
        path += f"[{name}]" if isinstance(step, int) else f".{name}" if path else name
    return path


def shown(value: object) -> str:
    """A value as JSON writes it, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "nested too deep"
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


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
        context["expected"] = context["expected"].replace("'", '"')
    return _ALLOWED[found["type"]].format(**context)
