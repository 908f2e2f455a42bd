"""Writes the grammar of a call written as Python, `name(argument=value)`, from its schema.

Arguments that must be given come first, each held to its own schema; what a schema says of an
object as a whole, beyond its properties, can't be said so.
"""

import json
from collections.abc import Mapping
from typing import Any

from serving.answers.quoting import quoted

_SHARED = ("x-guidance", "$defs", "definitions")
_SAYABLE = frozenset(
    {"type", "properties", "required", "additionalProperties", "title", "description", *_SHARED}
)
_MAX_ANY = 16


def can_be_python(arguments: str) -> bool:
    """Whether a call written as Python can be held to all that the schema says."""
    schema = _object_of(json.loads(arguments))
    names = schema.get("properties", {})
    is_named = all(name.isidentifier() for name in names)
    return schema.keys() <= _SAYABLE and is_named and set(schema.get("required", ())) <= set(names)


def python_call(name: str, arguments: str) -> str:
    """The rule's body. Names that are no identifiers are left out."""
    whole = json.loads(arguments)
    schema = _object_of(whole)
    shared = {key: whole[key] for key in _SHARED if key in whole}
    required = set(schema.get("required", ()))
    values = {
        key: f"{quoted(key + '=')} %json {json.dumps(_with(shared, inner))}"
        for key, inner in schema.get("properties", {}).items()
        if key.isidentifier() and inner is not False
    }
    needed = [value for key, value in values.items() if key in required]
    others = [value for key, value in values.items() if key not in required]
    if not values and schema.get("additionalProperties") is not False:
        inner = _anything()
    else:
        inner = _list(needed, others)
    return f'{quoted(name + "(")} {inner} ")"'


def _object_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands behind the references at the top."""
    found, defined = schema, schema.get("$defs", {})
    for _ in range(len(defined) + 1):
        target = found.get("$ref")
        if not isinstance(target, str):
            break
        found = defined.get(target.removeprefix("#/$defs/"), {})
    return found


def _list(needed: list[str], others: list[str]) -> str:
    comma = quoted(", ")
    if needed:
        tail = "".join(f" ({comma} {value})?" for value in others)
        return f" {comma} ".join(needed) + tail
    starts = [
        value + "".join(f" ({comma} {later})?" for later in others[place + 1 :])
        for place, value in enumerate(others)
    ]
    return f"({' | '.join(starts)})?" if starts else ""


def _anything() -> str:
    argument = "/[A-Za-z_][A-Za-z0-9_]{0,63}=/ %json {}"
    return f"({argument} ({quoted(', ')} {argument}){{0,{_MAX_ANY - 1}}})?"


def _with(shared: Mapping[str, object], schema: object) -> dict[str, object]:
    return {**shared, **schema} if isinstance(schema, Mapping) else dict(shared)
