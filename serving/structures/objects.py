"""Decides which properties an object may have besides those that its schema names.

Compiles nothing. Where a schema says nothing of others, there are none: the answer is valid all the
same, and a small model does not go on inventing keys. Where it describes others, their names are a
pattern: llguidance would let a declared name pass as another one if it is spelled with escapes.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from serving.structures.limits import MAX_ALTERNATIVES, Place
from serving.structures.names import all_names_but

MAX_OPEN_NAMES = 100
MAX_OPEN_NAME = 48
MAX_COMBINED_NAMES = 1000

Parts = dict[str, Any]


def closed_object(parts: Parts, closes: bool, place: Place) -> Parts:
    """Of a schema without combinations, translated. `closes` False leaves that to what combines
    it. Raises InvalidValue.
    """
    if not _may_be_object(parts):
        return parts
    if not closes:
        _refuse_open(parts, place)
        return parts
    found = _closed(parts, place)
    _refuse_uncounted(found, place)
    _refuse_wide(found, place)
    return found


def closed_union(parts: Parts, names: Iterable[str], place: Place) -> Parts:
    """Of a schema that combines others: all their names, and no more. Raises InvalidValue."""
    _refuse_open(parts, place)
    if not names or parts.get("additionalProperties") is False:
        return parts
    own = parts.get("properties", {})
    found = {**parts, "properties": {**own, **{name: {} for name in names if name not in own}}}
    return {**found, "additionalProperties": False}


def own_names(words: Mapping[str, Any], resolve: Callable[[str], Any]) -> list[str]:
    """The names that a schema and all that it combines know, in order. Follows references."""
    names: dict[str, None] = {}
    seen: set[str] = set()
    waiting: list[Any] = [words]
    while waiting and len(names) <= MAX_COMBINED_NAMES:
        node = waiting.pop()
        if not isinstance(node, Mapping):
            continue
        names.update(dict.fromkeys(_listed(node, "properties")))
        names.update(dict.fromkeys(_listed(node, "required")))
        for word in ("allOf", "anyOf", "oneOf"):
            waiting.extend(reversed(_listed(node, word)))
        pointer = node.get("$ref")
        if isinstance(pointer, str) and pointer not in seen:
            seen.add(pointer)
            waiting.append(resolve(pointer))
    return list(names)


def _listed(node: Mapping[str, Any], word: str) -> list[Any]:
    """What has not been checked yet counts where it is of the right kind."""
    value = node.get(word)
    found = list(value) if isinstance(value, Mapping | list) else []
    return [each for each in found if word not in ("properties", "required") or type(each) is str]


def _may_be_object(parts: Parts) -> bool:
    kind = parts.get("type")
    return kind is None or kind == "object" or "object" in kind


def _refuse_open(parts: Parts, place: Place) -> None:
    others = parts.get("additionalProperties")
    if others is None and "patternProperties" not in parts:
        return
    if others is not False:
        raise place.fault(
            "additionalProperties or patternProperties beside or within allOf, anyOf, oneOf or $ref"
            " is supported with additionalProperties: false alone"
        )


def _closed(parts: Parts, place: Place) -> Parts:
    properties = parts.get("properties", {})
    others = parts.get("additionalProperties")
    if others is False or not (properties or "patternProperties" in parts):
        return parts
    if others is None:
        missing: Parts = {name: {} for name in parts.get("required", ()) if name not in properties}
        found = {**parts, "properties": {**properties, **missing}} if missing else parts
        return {**found, "additionalProperties": False}
    if "patternProperties" in parts:
        raise place.fault(
            "patternProperties goes with additionalProperties: false alone, or without"
        )
    if len(properties) > MAX_OPEN_NAMES or any(len(each) > MAX_OPEN_NAME for each in properties):
        raise place.fault(
            f"additionalProperties beside more than {MAX_OPEN_NAMES} properties, or names of more"
            f" than {MAX_OPEN_NAME} characters, is supported as false alone"
        )
    pattern = all_names_but(properties)
    return {**parts, "patternProperties": {pattern: others}, "additionalProperties": False}


def _refuse_uncounted(parts: Parts, place: Place) -> None:
    """A key that is written twice would count twice."""
    fewest = parts.get("minProperties", 0)
    is_closed = parts.get("additionalProperties") is False and "patternProperties" not in parts
    if fewest > 1 and not is_closed and len(set(parts.get("required", ()))) < fewest:
        raise place.fault(
            f"minProperties is {fewest}; allowed is at most 1, or the number of required properties"
        )


def _refuse_wide(parts: Parts, place: Place) -> None:
    required = set(parts.get("required", ()))
    num_optional = sum(name not in required for name in parts.get("properties", ()))
    if num_optional > MAX_ALTERNATIVES:
        raise place.fault(
            f"{num_optional} properties are optional; allowed are at most {MAX_ALTERNATIVES}"
        )
