"""Turns a client's JSON Schema into one that llguidance honours in full, or refuses it by path.

References become numbered definitions, annotations go, objects that say nothing of other properties
have none, and a oneOf whose branches exclude each other becomes an anyOf. What comes out accepts
nothing that the client's schema does not. Compiles nothing.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any
from urllib.parse import unquote

from core.errors import InvalidValue
from serving.structures.endings import refuse_endless
from serving.structures.keywords import (
    ANNOTATIONS,
    COMBINING,
    DEFINITIONS,
    DIALECTS,
    HONOURED,
    ROOT_ONLY,
    remedy,
)
from serving.structures.limits import (
    MAX_DEFINITIONS,
    MAX_PATTERNS,
    MAX_SUBSCHEMAS,
    Place,
    refuse_large,
    refused,
    shortened,
)
from serving.structures.objects import closed_object, closed_union, own_names
from serving.structures.regexes import pattern_fault
from serving.structures.unions import Disjointness, Schema
from serving.structures.values import plain_value, with_real_dates
from serving.structures.widths import refuse_wide

_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS = ("properties", "patternProperties")


class Translation:
    """Of one schema. Raises InvalidValue with the request's field as its param."""

    def __init__(self, schema: Schema, param: str, *, is_strict: bool) -> None:
        self._root = schema
        self._param = param
        self._is_strict = is_strict
        self._names: dict[tuple[str, bool], str] = {}
        self._pending: list[tuple[str, bool]] = []
        self._unions: list[tuple[str, list[Schema]]] = []
        self._num_schemas = 0
        self.patterns: dict[str, str] = {}

    def run(self) -> dict[str, Any]:
        """The schema, its definitions under $defs. `patterns` then says where each one stands."""
        refuse_large(self._param, self._root)
        start = self._reference("#", closes=True)
        definitions: dict[str, Any] = {}
        while self._pending:
            pointer, closes = self._pending.pop()
            node = self._target(pointer)
            definitions[self._names[pointer, closes]] = self._schema(node, pointer, closes=closes)
        self._refuse_overlapping()
        refuse_endless(definitions, self._param)
        refuse_wide(definitions, self._param)
        return {"$defs": definitions, **start}

    def _at(self, path: str) -> Place:
        return Place(self._param, path)

    def _fault(self, path: str, message: str) -> InvalidValue:
        return self._at(path).fault(message)

    def _reference(self, pointer: str, *, closes: bool) -> dict[str, Any]:
        key = (pointer, closes)
        if key not in self._names:
            if len(self._names) >= MAX_DEFINITIONS:
                raise refused(
                    self._param, f"the schema refers to more than {MAX_DEFINITIONS} definitions"
                )
            self._names[key] = f"d{len(self._names)}"
            self._pending.append(key)
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def _target(self, pointer: str) -> Schema:
        """What a reference points at. Raises InvalidValue."""
        if pointer != "#" and not pointer.startswith("#/"):
            raise self._fault(
                pointer, "this reference leaves the schema; allowed is one such as #/$defs/name"
            )
        node: Any = self._root
        for step in pointer.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and name.isdecimal() and int(name[:9]) < len(node):
                node = node[int(name[:9])]
            elif isinstance(node, Mapping) and name in node:
                node = node[name]
            else:
                raise self._fault(pointer, "this reference points at nothing")
        if not isinstance(node, Mapping | bool):
            raise self._fault(pointer, "this reference points at no schema")
        return node

    def _schema(self, node: object, path: str, *, closes: bool) -> Any:
        """`closes`: whether an object here has no other properties than those it names."""
        self._num_schemas += 1
        if self._num_schemas > MAX_SUBSCHEMAS:
            raise refused(self._param, f"the schema has more than {MAX_SUBSCHEMAS} schemas in it")
        if isinstance(node, bool):
            return {} if node else False
        if not isinstance(node, Mapping):
            raise self._fault(path, f"{shortened(node)} is no schema: an object, true or false")
        words = self._checked(node, path)
        if self._is_strict:
            self._refuse_lax(words, path)
        combining = [word for word in words if word in COMBINING]
        if combining and len(words) == 1 and (combining != ["allOf"] or len(words["allOf"]) == 1):
            return self._parts(words, path, closes=closes)
        if not combining:
            return closed_object(self._parts(words, path, closes=True), closes, self._at(path))
        parts = self._parts(words, path, closes=False)
        names = own_names(words, self._target)
        return closed_union(parts, names if closes else (), self._at(path))

    def _checked(self, node: Mapping[str, Any], path: str) -> dict[str, Any]:
        """The keywords that are honoured. Raises InvalidValue for all but annotations."""
        words: dict[str, Any] = {}
        for word, value in node.items():
            if word in ANNOTATIONS or word in DEFINITIONS:
                continue
            if word in ROOT_ONLY and path == "#":
                self._check_dialect(word, value)
                continue
            if word not in HONOURED:
                raise self._fault(
                    path, f"the keyword {shortened(word)!r} is not supported{remedy(word)}"
                )
            is_allowed, allowed = HONOURED[word]
            if not is_allowed(value):
                raise self._fault(path, f"{word} is {shortened(value)}; allowed is {allowed}")
            words[word] = value
        words.pop("uniqueItems", None)
        return _without_draft_7(words, self._at(path))

    def _check_dialect(self, word: str, value: object) -> None:
        if word == "$schema" and (
            not isinstance(value, str) or value.removesuffix("#") not in DIALECTS
        ):
            raise self._fault(
                "#", f"$schema is {shortened(value)}; allowed are JSON Schema's own drafts"
            )

    def _refuse_lax(self, words: Mapping[str, Any], path: str) -> None:
        """What OpenAI's strict mode asks of a schema."""
        kind = words.get("type")
        if "properties" not in words and kind != "object" and "object" not in (kind or ()):
            return
        if words.get("additionalProperties") is not False:
            raise self._fault(path, "strict is true, and additionalProperties is not false")
        missing = [name for name in words.get("properties", {}) if name not in _required(words)]
        if missing:
            raise self._fault(
                path, f"strict is true, and required does not name {shortened(missing[0])!r}"
            )

    def _parts(self, words: Mapping[str, Any], path: str, *, closes: bool) -> dict[str, Any]:
        """Each keyword translated, in order. Branches of a combination close where it does."""
        found: dict[str, Any] = {}
        for word, value in words.items():
            name = "anyOf" if word == "oneOf" and "anyOf" not in words else word
            found[name] = self._part(word, value, f"{path}/{word}", closes=closes)
        if "anyOf" in words and "oneOf" in words:
            found["allOf"] = [*found.get("allOf", ()), {"anyOf": found.pop("oneOf")}]
        return with_real_dates(found)

    def _part(self, word: str, value: Any, path: str, *, closes: bool) -> Any:
        if word == "$ref":
            return self._reference(value, closes=closes)["$ref"]
        if word in _LISTS:
            branch_closes = closes or word == "prefixItems"
            if word == "oneOf":
                self._unions.append((path, value))
            return [
                self._schema(each, f"{path}/{i}", closes=branch_closes)
                for i, each in enumerate(value)
            ]
        if word in _MAPS:
            return {
                self._key(word, name, path): self._schema(each, f"{path}/{name}", closes=True)
                for name, each in value.items()
            }
        if word in ("items", "additionalProperties"):
            return self._schema(value, path, closes=True)
        if word in ("const", "enum"):
            return plain_value(value, self._at(path))
        return self._pattern(value, path) if word == "pattern" else value

    def _key(self, word: str, name: str, path: str) -> str:
        return self._pattern(name, path) if word == "patternProperties" else name

    def _pattern(self, pattern: str, path: str) -> str:
        fault = pattern_fault(pattern)
        if fault is None and len(self.patterns) >= MAX_PATTERNS:
            fault = f"is one of more than {MAX_PATTERNS}"
        if fault is not None:
            raise self._fault(path, f"the pattern {shortened(pattern)!r} {fault}")
        self.patterns.setdefault(pattern, path)
        return pattern

    def _refuse_overlapping(self) -> None:
        """Done last: references are followed, and all they lead to is checked by then."""
        proof = Disjointness(self._target)
        for path, branches in self._unions:
            for i, j in combinations(range(len(branches)), 2):
                if not proof.are_disjoint(branches[i], branches[j]):
                    raise self._fault(
                        path,
                        f"branches {i} and {j} are not provably exclusive: use anyOf, or give"
                        " each a required property with a const of its own",
                    )


def _required(words: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(words.get("required", ()))


def _without_draft_7(words: dict[str, Any], place: Place) -> dict[str, Any]:
    """Lists of items were written otherwise before 2020."""
    if "additionalItems" in words and not isinstance(words.get("items"), list):
        raise place.fault("additionalItems goes with a list of items alone; use items")
    if not isinstance(words.get("items"), list):
        return words
    if "prefixItems" in words:
        raise place.fault("items is a list beside prefixItems; allowed is a schema")
    plain: dict[str, Any] = {}
    for word, value in words.items():
        if word == "items":
            plain["prefixItems"] = value
        else:
            plain["items" if word == "additionalItems" else word] = value
    return plain
