"""Refuses schemas whose values would all have to be endless. Reads translated schemas alone."""

from collections.abc import Mapping
from typing import Any

from serving.structures.limits import refused

_NESTING = {"object", "array"}


def refuse_endless(definitions: Mapping[str, Any], param: str) -> None:
    """Raises InvalidValue where a definition that is referred to holds itself without a way out.

    A definition ends if a value of it can be made of those known to end: the least fixed point.
    """
    ending: set[str] = set()
    waiting = list(definitions)
    while waiting:
        waiting.reverse()
        left = []
        for name in waiting:
            if _ends(definitions[name], ending):
                ending.add(f"#/$defs/{name}")
            else:
                left.append(name)
        if len(left) == len(waiting):
            break
        waiting = left
    if "#/$defs/d0" not in ending:
        raise refused(
            param,
            "no finite value can match the schema: it is false, or holds itself without an end",
        )


def _ends(schema: Any, ending: set[str]) -> bool:
    """Whether some finite value matches, given the references that are known to end."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and schema["$ref"] not in ending:
        return False
    if not all(_ends(each, ending) for each in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(_ends(each, ending) for each in schema["anyOf"]):
        return False
    kinds = schema.get("type", ["null"])
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if kinds - _NESTING or "const" in schema or "enum" in schema:
        return True
    return ("object" in kinds and _object_ends(schema, ending)) or (
        "array" in kinds and _array_ends(schema, ending)
    )


def _object_ends(schema: Mapping[str, Any], ending: set[str]) -> bool:
    """Names that only a pattern knows are taken to end: the compiler tries them."""
    properties = schema.get("properties", {})
    return all(_ends(properties.get(name, {}), ending) for name in schema.get("required", ()))


def _array_ends(schema: Mapping[str, Any], ending: set[str]) -> bool:
    fewest = schema.get("minItems", 0)
    first = schema.get("prefixItems", [])
    if not all(_ends(each, ending) for each in first[:fewest]):
        return False
    return fewest <= len(first) or _ends(schema.get("items", {}), ending)
