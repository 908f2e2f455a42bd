"""Decides whether no value can match two schemas, so that one of them is any of them.

Only what it can prove: false means unknown. Reads a client's schema, and changes nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from serving.structures.keywords import TYPES

Schema = Mapping[str, Any] | bool
Resolve = Callable[[str], Schema]

_MAX_DEPTH = 12
_ALL_TYPES = frozenset(TYPES) - {"integer"}


class Disjointness:
    """`resolve` gives what a reference points at. `budget` bounds the comparisons of one schema."""

    def __init__(self, resolve: Resolve, budget: int = 30_000) -> None:
        self._resolve = resolve
        self._budget = budget

    def are_disjoint(self, one: Schema, other: Schema, depth: int = 0) -> bool:
        """Whether it is certain that no value matches both."""
        self._budget -= 1
        if depth > _MAX_DEPTH or self._budget < 0:
            return False
        if one is False or other is False:
            return True
        if not isinstance(one, Mapping) or not isinstance(other, Mapping):
            return False
        return (
            self._have_no_type(one, other)
            or _have_no_value(one, other)
            or self._differ_in_property(one, other, depth)
            or self._parts_differ(one, other, depth)
            or self._parts_differ(other, one, depth)
        )

    def _parts_differ(self, one: Mapping[str, Any], other: Mapping[str, Any], depth: int) -> bool:
        """Through references and combinations, each of which only narrows a schema."""
        inner = depth + 1
        if "$ref" in one and self.are_disjoint(self._resolve(one["$ref"]), other, inner):
            return True
        if any(self.are_disjoint(each, other, inner) for each in one.get("allOf", ())):
            return True
        return any(
            all(self.are_disjoint(each, other, inner) for each in one[word])
            for word in ("anyOf", "oneOf")
            if one.get(word)
        )

    def _have_no_type(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        return not _types(one) & _types(other)

    def _differ_in_property(
        self, one: Mapping[str, Any], other: Mapping[str, Any], depth: int
    ) -> bool:
        """A property that both require, with disjoint values, or that one requires and the other
        does not allow.
        """
        if _types(one) & _types(other) != {"object"}:
            return False
        return any(
            self.are_disjoint(_property(one, name), _property(other, name), depth + 1)
            for name in {*one.get("required", ()), *other.get("required", ())}
        )


def _property(schema: Mapping[str, Any], name: str) -> Schema:
    """What a value of that name must match, as far as is known."""
    found: Schema | None = schema.get("properties", {}).get(name)
    if found is not None:
        return found
    is_closed = schema.get("additionalProperties") is False
    return not is_closed or "patternProperties" in schema


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """Of a const, an enum or a type; an integer is a number."""
    values = _values(schema)
    if values is not None:
        return frozenset(_type_of(value) for value in values)
    given = schema.get("type")
    if given is None:
        return _ALL_TYPES
    names = [given] if isinstance(given, str) else given
    return frozenset("number" if name == "integer" else name for name in names)


def _values(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _have_no_value(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    mine, others = _values(one), _values(other)
    if mine is None or others is None:
        return False
    keys = {_key(value) for value in mine}
    return not any(_key(value) in keys for value in others)


def _key(value: object) -> tuple[str, str]:
    """Equal for equal JSON of simple kinds; lists and objects of one kind all count as equal."""
    kind = _type_of(value)
    if kind == "number":
        return kind, repr(float(value) + 0.0)  # type: ignore[arg-type]
    return kind, str(value) if kind in ("boolean", "string") else ""
