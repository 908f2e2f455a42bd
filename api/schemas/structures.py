"""Owns the fields that give an answer a structure, and how they become one wish.

Knows no schema's inside: that is checked where it is compiled. Nothing here walks through one.
"""

import json
import re
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from api.schemas.strict_object import StrictObject
from api.schemas.validation import shown
from core.errors import InvalidValue
from core.structures import Choice, JsonObject, JsonSchema, LarkGrammar, Regex, Structure

MAX_CHOICES = 4096
MAX_TEXT_CHARACTERS = 1 << 16
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_KINDS = ("json", "json_object", "regex", "choice", "grammar")


def _schema(value: object) -> object:
    if not isinstance(value, dict | bool):
        raise PydanticCustomError("schema", "allowed is a JSON Schema: an object, true or false")
    return value


def _schema_or_text(value: object) -> object:
    if value is not None and not isinstance(value, dict | bool | str):
        raise PydanticCustomError("schema", "allowed is a JSON Schema, or its JSON as a string")
    return value


def _options(value: object) -> tuple[str, ...] | None:
    """By hand: pydantic would describe each wrong one of a million."""
    if value is None:
        return None
    is_list = isinstance(value, list | tuple) and 0 < len(value) <= MAX_CHOICES
    if not is_list or not all(isinstance(each, str) for each in cast(list[Any], value)):
        raise PydanticCustomError(
            "choice", "allowed is a list of 1 to {count} strings", {"count": MAX_CHOICES}
        )
    return tuple(cast(list[str], value))


def _name(value: object) -> object:
    if not isinstance(value, str) or _NAME.fullmatch(value[:65]) is None:
        raise PydanticCustomError(
            "name", "allowed are 1 to 64 of the letters a-z and A-Z, digits, _ and -"
        )
    return value


def _idle(value: object) -> object:
    """What vLLM knows and asks for nothing as null or false."""
    if value is not None and value is not False:
        raise PydanticCustomError("idle", "allowed is null: this is not honoured here")
    return value


Idle = Annotated[Any, BeforeValidator(_idle), WithJsonSchema({"type": "null"})]


class JsonSchemaFormat(StrictObject):
    """A named schema, as OpenAI takes it."""

    name: Annotated[str, BeforeValidator(_name)]
    description: str | None = None
    schema_: Annotated[
        Any, BeforeValidator(_schema), WithJsonSchema({"type": "object"}), Field(alias="schema")
    ]
    strict: bool | None = None


class ResponseFormat(StrictObject):
    """OpenAI's field: text, any JSON object, or JSON that a schema accepts."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StructuredOutputs(StrictObject):
    """vLLM's field: exactly one of json, json_object, regex, choice and grammar."""

    json_: Annotated[
        Any,
        BeforeValidator(_schema_or_text),
        WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "boolean"}, {"type": "string"}]}),
    ] = Field(None, alias="json", description="A JSON Schema; true accepts any JSON.")
    json_object: bool | None = None
    regex: str | None = Field(None, max_length=MAX_TEXT_CHARACTERS)
    choice: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(_options, json_schema_input_type=list[str] | None),
    ] = None
    grammar: str | None = Field(
        None, max_length=MAX_TEXT_CHARACTERS, description="Lark as llguidance reads it, or GBNF."
    )
    disable_any_whitespace: bool | None = Field(None, description="Compact JSON.")
    disable_additional_properties: Idle = None
    whitespace_pattern: Idle = None
    structural_tag: Idle = None


def read_structure(
    response_format: ResponseFormat | None, structured_outputs: StructuredOutputs | None
) -> Structure | None:
    """Raises InvalidValue where the fields don't make one structure; None where they ask for none.

    A schema that came as text is parsed here; it is short.
    """
    wanted = None if response_format is None else _of_format(response_format)
    if structured_outputs is None:
        return wanted
    if wanted is not None:
        raise InvalidValue(
            "response_format and structured_outputs are both given: give one of them",
            param="structured_outputs",
        )
    return _of_outputs(structured_outputs)


def _of_format(wanted: ResponseFormat) -> Structure | None:
    given = wanted.json_schema
    if wanted.type == "json_schema":
        if given is None:
            raise InvalidValue(
                "response_format.json_schema is missing: the type json_schema requires it",
                param="response_format.json_schema",
            )
        return JsonSchema(given.schema_, is_strict=bool(given.strict))
    if given is not None:
        raise InvalidValue(
            "response_format.json_schema goes with the type json_schema alone",
            param="response_format.json_schema",
        )
    return JsonObject() if wanted.type == "json_object" else None


def _of_outputs(wanted: StructuredOutputs) -> Structure:
    given = [name for name in _KINDS if _value(wanted, name) is not None]
    if wanted.json_object is False:
        given.remove("json_object")
    if len(given) != 1:
        found = " and ".join(given) if given else "none"
        raise InvalidValue(
            f"structured_outputs gives {found}; allowed is exactly one of {', '.join(_KINDS)}",
            param="structured_outputs",
        )
    is_compact = bool(wanted.disable_any_whitespace)
    if is_compact and not given[0].startswith("json"):
        raise InvalidValue(
            "disable_any_whitespace goes with json and json_object alone",
            param="structured_outputs.disable_any_whitespace",
        )
    return _made(given[0], _value(wanted, given[0]), is_compact)


def _value(wanted: StructuredOutputs, name: str) -> Any:
    return getattr(wanted, "json_" if name == "json" else name)


def _made(kind: str, value: Any, is_compact: bool) -> Structure:
    param = "structured_outputs"
    if kind == "json_object":
        return JsonObject(is_compact=is_compact, param=param)
    if kind == "json":
        schema = _parsed(value) if isinstance(value, str) else value
        return JsonSchema(schema, is_compact=is_compact, param=param)
    if kind == "choice":
        return Choice(value)
    return Regex(value) if kind == "regex" else LarkGrammar(value)


def _parsed(text: str) -> Any:
    """The schema in a text. Raises InvalidValue."""
    try:
        schema = json.loads(text) if len(text) <= MAX_TEXT_CHARACTERS else None
    except (ValueError, RecursionError):
        schema = None
    if isinstance(schema, dict | bool):
        return schema
    raise InvalidValue(
        f"structured_outputs.json is {shown(text[:100])}; allowed is a JSON Schema, as an object or"
        f" as JSON of at most {MAX_TEXT_CHARACTERS} characters",
        param="structured_outputs.json",
    )
