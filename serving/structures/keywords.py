"""Owns which keywords of JSON Schema are honoured, and which values each may have.

What is not in these tables is refused by name: llguidance leaves out words that it does not know.
"""

import math
from collections.abc import Callable, Mapping

from serving.structures.limits import (
    LARGEST_NUMBER,
    MAX_ALTERNATIVES,
    MAX_ENUM,
    MAX_ITEMS,
    MAX_LENGTH,
    MAX_MULTIPLE,
    MAX_PATTERN_PROPERTIES,
    SMALLEST_NUMBER,
)

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
FORMATS = (
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
)
# They say something to a reader, and nothing about which values are valid.
ANNOTATIONS = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "example",
        "$comment",
        "deprecated",
        "readOnly",
        "writeOnly",
        "discriminator",
    }
)
# Read where a reference points, or at the root alone.
DEFINITIONS = frozenset({"$defs", "definitions"})
ROOT_ONLY = frozenset({"$schema", "$id"})
DIALECTS = (
    "http://json-schema.org/draft-04/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-07/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2020-12/schema",
)
COMBINING = ("allOf", "anyOf", "oneOf", "$ref")
_REMEDIES = {
    "nullable": 'write "type": ["…", "null"]',
    "x-guidance": "spaces between the parts are chosen here",
    "$anchor": "refer to a definition as #/$defs/name",
    "$dynamicRef": "use $ref",
    "$recursiveRef": 'write "$ref": "#"',
    "if": "use anyOf",
    "not": "list what is allowed",
    "uniqueItems": "use maxItems, or an enum of whole lists",
    "dependentRequired": "use anyOf",
    "unevaluatedProperties": "use additionalProperties",
}


def remedy(keyword: str) -> str:
    """How a refusal goes on."""
    known = _REMEDIES.get(keyword)
    return f"; {known}" if known else ""


def is_number(value: object) -> bool:
    """What the compiler computes with exactly, or nearly so."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    if value == 0:
        return True
    is_plain = isinstance(value, int) or math.isfinite(value)
    return is_plain and SMALLEST_NUMBER <= abs(value) <= LARGEST_NUMBER


def _is_multiple(value: object) -> bool:
    """Its digits make the states of an automaton."""
    if not isinstance(value, int | float) or not is_number(value) or value <= 0:
        return False
    digits = format(value, ".9f").replace(".", "").strip("0")
    return value <= MAX_MULTIPLE and int(digits) <= MAX_MULTIPLE


def _is_count(limit: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and 0 <= value <= limit


def _is_schema(value: object) -> bool:
    return isinstance(value, Mapping | bool)


def _is_schemas(value: object) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MAX_ALTERNATIVES


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_type(value: object) -> bool:
    names = [value] if isinstance(value, str) else value
    return isinstance(names, list) and bool(names) and all(name in TYPES for name in names)


def _is_enum(value: object) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MAX_ENUM


def _is_patterns(value: object) -> bool:
    return isinstance(value, Mapping) and len(value) <= MAX_PATTERN_PROPERTIES


_COUNT = "an integer from 0 to {}"
_NUMBER = f"a number from -2^53 to 2^53 that is 0 or at least {SMALLEST_NUMBER:g} away from it"
_SCHEMA = "a schema: an object, true or false"
_SCHEMAS = f"a list of 1 to {MAX_ALTERNATIVES} schemas"
_FORMATS = ", ".join(FORMATS)

Check = Callable[[object], bool]
# What each keyword allows: the test, and its words.
HONOURED: Mapping[str, tuple[Check, str]] = {
    "type": (_is_type, f"of {', '.join(TYPES)}, one or a list"),
    "enum": (_is_enum, f"a list of 1 to {MAX_ENUM} values"),
    "const": (lambda _: True, "any value"),
    "$ref": (lambda value: isinstance(value, str), "a reference within the schema"),
    "allOf": (_is_schemas, _SCHEMAS),
    "anyOf": (_is_schemas, _SCHEMAS),
    "oneOf": (_is_schemas, _SCHEMAS),
    "properties": (lambda value: isinstance(value, Mapping), "an object of schemas"),
    "patternProperties": (
        _is_patterns,
        f"an object of at most {MAX_PATTERN_PROPERTIES} schemas",
    ),
    "additionalProperties": (_is_schema, _SCHEMA),
    "required": (_is_names, "a list of names"),
    "minProperties": (_is_count(MAX_ITEMS), _COUNT.format(MAX_ITEMS)),
    "maxProperties": (_is_count(MAX_ITEMS), _COUNT.format(MAX_ITEMS)),
    "items": (lambda value: _is_schema(value) or _is_schemas(value), _SCHEMA),
    "prefixItems": (_is_schemas, _SCHEMAS),
    "additionalItems": (_is_schema, _SCHEMA),
    "minItems": (_is_count(MAX_ITEMS), _COUNT.format(MAX_ITEMS)),
    "maxItems": (_is_count(MAX_ITEMS), _COUNT.format(MAX_ITEMS)),
    "uniqueItems": (lambda value: value is False, "false: repeated items can't be kept out"),
    "minLength": (_is_count(MAX_LENGTH), _COUNT.format(MAX_LENGTH)),
    "maxLength": (_is_count(MAX_LENGTH), _COUNT.format(MAX_LENGTH)),
    "pattern": (lambda value: isinstance(value, str), "a regular expression"),
    "format": (lambda value: value in FORMATS, f"one of {_FORMATS}"),
    "minimum": (is_number, _NUMBER),
    "maximum": (is_number, _NUMBER),
    "exclusiveMinimum": (is_number, _NUMBER),
    "exclusiveMaximum": (is_number, _NUMBER),
    "multipleOf": (
        _is_multiple,
        f"a number above 0 of few digits: without its point, at most {MAX_MULTIPLE}",
    ),
}
