"""The fields that give an answer a structure: read, or refused by name, without a look inside."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from api.schemas.structures import ResponseFormat, StructuredOutputs, read_structure
from core.errors import InvalidValue
from core.structures import (
    Choice,
    JsonObject,
    JsonSchema,
    LarkGrammar,
    Regex,
    Structure,
)

SCHEMA = {"type": "object", "properties": {"b": {}, "a": {}}}
OUTPUTS = "structured_outputs"


class Body(BaseModel):
    """As the bodies of requests have the two fields."""

    model_config = ConfigDict(strict=True, extra="forbid")

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None


def read(**fields: Any) -> Structure | None:
    body = Body.model_validate(fields)
    return read_structure(body.response_format, body.structured_outputs)


def schema_format(**more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, **more}}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, JsonObject()),
        (schema_format(), JsonSchema(SCHEMA)),
        (schema_format(strict=True, description="d"), JsonSchema(SCHEMA, is_strict=True)),
        (schema_format(strict=None), JsonSchema(SCHEMA)),
        (schema_format(schema=True), JsonSchema(True)),
    ],
)
def test_response_format_is_openais(given: Any, wanted: Structure | None) -> None:
    assert read(response_format=given) == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"json": SCHEMA}, JsonSchema(SCHEMA, param=OUTPUTS)),
        ({"json": True}, JsonSchema(True, param=OUTPUTS)),
        ({"json": '{"type": "null"}'}, JsonSchema({"type": "null"}, param=OUTPUTS)),
        ({"json_object": True}, JsonObject(param=OUTPUTS)),
        ({"regex": "a+"}, Regex("a+")),
        ({"regex": ""}, Regex("")),
        ({"choice": ["a", "b"]}, Choice(("a", "b"))),
        ({"grammar": 'start: "a"'}, LarkGrammar('start: "a"')),
        (
            {"regex": "a", "json": None, "json_object": False, "whitespace_pattern": None},
            Regex("a"),
        ),
        ({"regex": "a", "disable_any_whitespace": False}, Regex("a")),
        (
            {"json_object": True, "disable_any_whitespace": True},
            JsonObject(is_compact=True, param=OUTPUTS),
        ),
    ],
)
def test_structured_outputs_is_vllms(given: Any, wanted: Structure) -> None:
    assert read(structured_outputs=given) == wanted
    assert read(structured_outputs=given, response_format={"type": "text"}) == wanted


def test_the_order_of_properties_is_kept() -> None:
    wanted = read(response_format=schema_format())
    assert isinstance(wanted, JsonSchema)
    assert isinstance(wanted.schema, dict)
    assert list(wanted.schema["properties"]) == ["b", "a"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {**schema_format(), "type": "text"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_object"}, OUTPUTS: {"regex": "a"}}, OUTPUTS),
        ({OUTPUTS: {}}, OUTPUTS),
        ({OUTPUTS: {"json_object": False}}, OUTPUTS),
        ({OUTPUTS: {"regex": "a", "choice": ["a"]}}, OUTPUTS),
        ({OUTPUTS: {"json": "{"}}, f"{OUTPUTS}.json"),
        ({OUTPUTS: {"json": "[1]"}}, f"{OUTPUTS}.json"),
        ({OUTPUTS: {"json": "[" * 60_000}}, f"{OUTPUTS}.json"),
        ({OUTPUTS: {"json": " " * 70_000 + "{}"}}, f"{OUTPUTS}.json"),
        (
            {OUTPUTS: {"regex": "a", "disable_any_whitespace": True}},
            f"{OUTPUTS}.disable_any_whitespace",
        ),
    ],
)
def test_what_makes_no_one_structure_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        read(**fields)
    assert refusal.value.param == param
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "structural_tag"}}, "response_format.type"),
        ({"response_format": {"type": "text", "x": 1}}, "response_format.x"),
        ({"response_format": schema_format(name="a b")}, "response_format.json_schema.name"),
        ({"response_format": schema_format(name="a\n")}, "response_format.json_schema.name"),
        ({"response_format": schema_format(name="a" * 65)}, "response_format.json_schema.name"),
        ({"response_format": schema_format(schema=[])}, "response_format.json_schema.schema"),
        ({"response_format": schema_format(strict=1)}, "response_format.json_schema.strict"),
        ({OUTPUTS: {"json": 3}}, f"{OUTPUTS}.json"),
        ({OUTPUTS: {"regex": 3}}, f"{OUTPUTS}.regex"),
        ({OUTPUTS: {"regex": "a" * 70_000}}, f"{OUTPUTS}.regex"),
        ({OUTPUTS: {"choice": []}}, f"{OUTPUTS}.choice"),
        ({OUTPUTS: {"choice": ["a", 1]}}, f"{OUTPUTS}.choice"),
        ({OUTPUTS: {"choice": [1] * 1_000_000}}, f"{OUTPUTS}.choice"),
        ({OUTPUTS: {"whitespace_pattern": " "}}, f"{OUTPUTS}.whitespace_pattern"),
        ({OUTPUTS: {"structural_tag": "{}"}}, f"{OUTPUTS}.structural_tag"),
        (
            {OUTPUTS: {"disable_additional_properties": True}},
            f"{OUTPUTS}.disable_additional_properties",
        ),
        ({OUTPUTS: {"backend": "x"}}, f"{OUTPUTS}.backend"),
    ],
)
def test_a_wrong_field_is_named_once(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        read(**fields)
    errors = refusal.value.errors()
    assert [".".join(map(str, error["loc"])) for error in errors] == [path]


def test_a_huge_schema_is_passed_on_unread() -> None:
    schema: dict[str, Any] = {f"k{i}": {} for i in range(500_000)}
    wanted = read(structured_outputs={"json": schema})
    assert isinstance(wanted, JsonSchema)
    assert wanted.schema is schema
