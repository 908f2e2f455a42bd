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


def python_rules(rule: str, name: str, arguments: str) -> list[str]:
    """The rules of a call, of which the first one is named `rule`, and others begin with its name.

    Names that are no identifiers are left out. Linear in the schema, but for what properties share.
    """
    whole = json.loads(arguments)
    schema = _object_of(whole)
    required = set(schema.get("required", ()))
    values = {
        key: inner
        for key, inner in schema.get("properties", {}).items()
        if key.isidentifier() and inner is not False
    }
    ordered = sorted(values, key=lambda key: key not in required)
    num_needed = sum(key in required for key in ordered)
    properties = [f"{rule}_value_{place}" for place in range(len(ordered))]
    if not values and schema.get("additionalProperties") is not False:
        inner, lists = _anything(), list[str]()
    else:
        inner, lists = _list(rule, properties, num_needed)
    said = [
        f"{each}: {quoted(key + '=')} %json {json.dumps(_with_shared(whole, values[key]))}"
        for each, key in zip(properties, ordered, strict=True)
    ]
    return [f'{rule}: {quoted(name + "(")} {inner} ")"', *lists, *said]


def _object_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What stands behind the references at the top."""
    found, defined = schema, schema.get("$defs", {})
    for _ in range(len(defined) + 1):
        target = found.get("$ref")
        if not isinstance(target, str):
            break
        found = defined.get(target.removeprefix("#/$defs/"), {})
    return found


def _list(rule: str, properties: list[str], num_needed: int) -> tuple[str, list[str]]:
    """Those that are needed, then any of the others in their order; and the rules for that."""
    comma = quoted(", ")
    others = properties[num_needed:]
    tail = "".join(f" ({comma} {each})?" for each in others)
    if num_needed:
        return f" {comma} ".join(properties[:num_needed]) + tail, []
    rules: list[str] = []
    for place, each in enumerate(others):
        after = f"{rule}_after_{place + 1}" if place + 1 < len(others) else ""
        first = f" | {rule}_first_{place + 1}" if after else ""
        rules.append(f"{rule}_first_{place}: {each} {after}{first}")
        rules.append(f"{rule}_after_{place}: ({comma} {each})? {after}")
    return f"{rule}_first_0?" if others else "", rules


def _anything() -> str:
    argument = "/[A-Za-z_][A-Za-z0-9_]{0,63}=/ %json {}"
    return f"({argument} ({quoted(', ')} {argument}){{0,{_MAX_ANY - 1}}})?"


def _with_shared(whole: Mapping[str, Any], schema: object) -> dict[str, object]:
    """The schema with what it refers to, directly or not."""
    inner: dict[str, object] = dict(schema) if isinstance(schema, Mapping) else {}
    shared = {key: whole[key] for key in _SHARED if key in whole}
    defined = shared.pop("$defs", None)
    if isinstance(defined, Mapping):
        needed = _referred(inner, defined)
        shared |= {"$defs": {key: each for key, each in defined.items() if key in needed}}
    return {**shared, **inner}


def _referred(schema: object, defined: Mapping[str, Any]) -> set[str]:
    needed: set[str] = set()
    waiting: list[object] = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str):
            name = value.removeprefix("#/$defs/")
            if name in defined and name not in needed and name != value:
                needed.add(name)
                waiting.append(defined[name])
    return needed
