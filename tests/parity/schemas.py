"""A corpus of JSON Schemas of every supported kind, made from a seed.

Values are short: what a small model writes for nearly all of them fits in 400 tokens.
"""

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
Make = Callable[[random.Random, int], Schema]

WORDS = (
    "name",
    "age",
    "city",
    "street",
    "id",
    "kind",
    "size",
    "colour",
    "price",
    "tags",
    "items",
    "note",
    "état",
    "名前",
    "ключ",
    "größe",
    "a/b",
    "with~tilde",
    "two_words",
    "dash-ed",
    "dot.ted",
    "UPPER",
    "camelCase",
    "emoji😀",
    "x",
    "y",
    "z",
)
PATTERNS = (
    r"^[a-z]{1,8}$",
    r"^[A-Z][a-z]{0,6}$",
    r"^\d{3}-\d{4}$",
    r"^(red|green|blue)$",
    r"^[0-9A-F]{6}$",
    r"^#?[a-f0-9]{3}$",
    r"^v\d{1,2}\.\d{1,2}$",
    r"^[äöüß]{1,4}$",
    r"^a/b\\c$",
    r'^"[a-z]{1,5}"$',
    r"^\w{1,6}( \w{1,6}){0,2}$",
)
SHORT_FORMATS = ("date", "uuid", "ipv4")
LONG_FORMATS = ("date-time", "time", "duration", "email", "hostname", "ipv6", "uri")
VALUES = ("a", "", 'quote " and \\', "line\nbreak", "日本", "😀", 0, 1, -3, 2.5, True, False, None)


def schemas(count: int, seed: int) -> list[Schema]:
    """So many different schemas, the same for each seed."""
    draws = random.Random(seed)
    found: dict[str, Schema] = {}
    # Kinds take turns, so that each is there whatever the seed.
    for make in itertools.cycle(_ROOTS):
        if len(found) >= count:
            break
        schema = make(draws, 2)
        found[json.dumps(schema)] = schema
    return list(found.values())


def _string(draws: random.Random, _depth: int) -> Schema:
    fewest = draws.randrange(4)
    return {"type": "string", "minLength": fewest, "maxLength": fewest + draws.randrange(1, 9)}


def _pattern(draws: random.Random, _depth: int) -> Schema:
    return {"type": "string", "pattern": draws.choice(PATTERNS)}


def _format(draws: random.Random, _depth: int) -> Schema:
    if draws.random() < 0.6:
        return {"type": "string", "format": draws.choice(SHORT_FORMATS)}
    return {"type": "string", "format": draws.choice(LONG_FORMATS), "maxLength": 39}


def _integer(draws: random.Random, _depth: int) -> Schema:
    low = draws.randrange(-1000, 1000)
    schema: Schema = {"type": "integer", "minimum": low, "maximum": low + draws.randrange(20, 5000)}
    if draws.random() < 0.3:
        schema["exclusiveMaximum"] = schema.pop("maximum")
    if low >= 0 and draws.random() < 0.4:
        schema["multipleOf"] = draws.choice((2, 3, 5, 7))
    return schema


def _number(draws: random.Random, _depth: int) -> Schema:
    low = draws.randrange(50)
    schema: Schema = {"type": "number", "minimum": low, "maximum": low + draws.randrange(1, 90)}
    if draws.random() < 0.3:
        schema = {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 2.5}
    schema["multipleOf"] = draws.choice((0.5, 0.25, 0.01, 0.1))
    return schema


def _const(draws: random.Random, _depth: int) -> Schema:
    values: tuple[Any, ...] = (*VALUES, [1, "a"], {"k": [True, None]}, {}, [])
    return {"const": draws.choice(values)}


def _enum(draws: random.Random, _depth: int) -> Schema:
    return {"enum": draws.sample(VALUES, draws.randrange(1, 6))}


def _plain(draws: random.Random, _depth: int) -> Schema:
    return {"type": draws.choice(("null", "boolean"))}


def _types(draws: random.Random, _depth: int) -> Schema:
    names = draws.sample(("null", "boolean", "string", "integer"), 2)
    limits = {"maxLength": draws.randrange(1, 9), "minimum": 0, "maximum": draws.randrange(1, 99)}
    return {"type": names, **limits}


def _array(draws: random.Random, depth: int) -> Schema:
    fewest = draws.randrange(3)
    return {
        "type": "array",
        "items": _any(draws, depth - 1),
        "minItems": fewest,
        "maxItems": fewest + draws.randrange(1, 3),
    }


def _tuple(draws: random.Random, depth: int) -> Schema:
    first = [_any(draws, depth - 1) for _ in range(draws.randrange(1, 4))]
    rest: Any = False if draws.random() < 0.5 else _leaf(draws)
    schema = {"type": "array", "prefixItems": first, "items": rest, "minItems": len(first)}
    return schema if rest is False else {**schema, "maxItems": len(first) + 2}


def _object(draws: random.Random, depth: int) -> Schema:
    names = draws.sample(WORDS, draws.randrange(1, 5))
    schema: Schema = {
        "type": "object",
        "properties": {name: _any(draws, depth - 1) for name in names},
        "required": [name for name in names if draws.random() < 0.7],
    }
    if draws.random() < 0.5:
        schema["additionalProperties"] = False
    if draws.random() < 0.2:
        schema |= {"title": "T", "description": "says nothing"}
    return schema


def _map(draws: random.Random, _depth: int) -> Schema:
    key = draws.choice((r"^[a-z]{1,4}$", r"^k_[0-9]{1,2}$", r"^é{1,3}$"))
    return {
        "type": "object",
        "patternProperties": {key: _leaf(draws)},
        "additionalProperties": False,
        "maxProperties": draws.randrange(1, 4),
    }


def _open(draws: random.Random, _depth: int) -> Schema:
    """Other properties than those named, which are of another kind."""
    names = draws.sample(WORDS, 2)
    return {
        "type": "object",
        "properties": {name: _integer(draws, 0) for name in names},
        "required": names,
        "additionalProperties": _pattern(draws, 0),
        "maxProperties": 3,
    }


def _any_of(draws: random.Random, depth: int) -> Schema:
    return {"anyOf": [_any(draws, depth - 1) for _ in range(draws.randrange(2, 4))]}


def _one_of(draws: random.Random, depth: int) -> Schema:
    """Told apart by a const that all require, or by their types."""
    if draws.random() < 0.3:
        return {"oneOf": [_string(draws, 0), _integer(draws, 0), {"type": "null"}]}
    branches = [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, "value": _any(draws, depth - 1)},
            "required": ["kind", "value"],
        }
        for kind in draws.sample(("cat", "dog", "fish"), 2)
    ]
    return {"oneOf": branches, "discriminator": {"propertyName": "kind"}}


def _all_of(draws: random.Random, _depth: int) -> Schema:
    one, other = draws.sample(WORDS, 2)
    return {
        "allOf": [
            {"type": "object", "properties": {one: _leaf(draws)}, "required": [one]},
            {"properties": {other: _leaf(draws)}, "required": [other]},
        ]
    }


def _definitions(draws: random.Random, depth: int) -> Schema:
    name = draws.choice(("Part", "a/b", "größe"))
    pointer = name.replace("/", "~1")
    return {
        "type": "object",
        "properties": {
            "first": {"$ref": f"#/$defs/{pointer}"},
            "second": {"$ref": f"#/$defs/{pointer}", "description": "the same"},
        },
        "required": ["first"],
        "$defs": {name: _any(draws, depth - 1)},
    }


def _recursive(draws: random.Random, _depth: int) -> Schema:
    if draws.random() < 0.5:
        link: Schema = {"anyOf": [{"type": "null"}, {"$ref": "#"}]}
        properties = {"value": _leaf(draws), "next": link}
        return {"type": "object", "properties": properties, "required": ["value", "next"]}
    return {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "label": _string(draws, 0),
                    "parts": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 1},
                },
                "required": ["label"],
                "additionalProperties": False,
            }
        },
    }


_LEAVES: tuple[Make, ...] = (
    _string,
    _pattern,
    _format,
    _integer,
    _number,
    _const,
    _enum,
    _plain,
    _types,
)
_NESTED: tuple[Make, ...] = (_array, _tuple, _object, _map, _any_of)
_ROOTS: tuple[Make, ...] = (
    _object,
    *_LEAVES,
    *_NESTED,
    _object,
    _open,
    _one_of,
    _all_of,
    _definitions,
    _recursive,
)


def _leaf(draws: random.Random) -> Schema:
    return draws.choice(_LEAVES)(draws, 0)


def _any(draws: random.Random, depth: int) -> Schema:
    if depth <= 0 or draws.random() < 0.6:
        return _leaf(draws)
    return draws.choice(_NESTED)(draws, depth)
