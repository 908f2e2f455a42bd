"""What a body asks the pipeline for: tools and their choice, structure, thinking, scores."""

from typing import Any

import pytest

from api.schemas.responses.request import ReadResponse, read_response
from api.schemas.validation import UnknownFields
from core.messages import Tool
from core.structures import JsonObject, JsonSchema, Structure
from core.thinking import Effort, Thinking
from core.tool_choice import ToolChoice, ToolMode

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
EMPTY = {"type": "object", "properties": {}}


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "name": name, **more}


TOOLS = [function("f"), function("g")]


def read(**fields: Any) -> ReadResponse:
    return read_response({"input": "hi"} | fields, UnknownFields(are_refused=True))


def schema_text(**more: Any) -> dict[str, Any]:
    return {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, **more}}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (function("f"), Tool("f", None, EMPTY)),
        (function("f", parameters=None, strict=None, description=None), Tool("f", None, EMPTY)),
        (function("f", parameters=SCHEMA), Tool("f", None, SCHEMA)),
        (
            function("f", parameters=SCHEMA, strict=True, description="d"),
            Tool("f", "d", SCHEMA, is_strict=True),
        ),
        (function("f", defer_loading=False, allowed_callers=["direct"]), Tool("f", None, EMPTY)),
    ],
)
def test_a_tool_is_a_function(given: dict[str, Any], wanted: Tool) -> None:
    calling = read(tools=[given]).calling
    assert calling.tools == (wanted,)
    assert calling.shown_tools[0]["strict"] is wanted.is_strict


ALLOWED = {"type": "allowed_tools", "mode": "required", "tools": [function("g")]}


@pytest.mark.parametrize(
    ("given", "wanted", "names"),
    [
        (None, ToolChoice(), "fg"),
        ("auto", ToolChoice(), "fg"),
        ("none", ToolChoice(ToolMode.NONE), "fg"),
        ("required", ToolChoice(ToolMode.REQUIRED), "fg"),
        (function("g"), ToolChoice(ToolMode.NAMED, "g"), "fg"),
        (ALLOWED, ToolChoice(ToolMode.REQUIRED), "g"),
    ],
)
def test_a_choice_is_one_of_openais(given: Any, wanted: ToolChoice, names: str) -> None:
    calling = read(tools=TOOLS, tool_choice=given).calling
    assert calling.choice == wanted
    assert "".join(tool.name for tool in calling.tools) == names
    assert calling.shown_choice == ("auto" if given is None else given)
    assert len(calling.shown_tools) == len(TOOLS)


def test_one_call_at_a_time_can_be_asked_for() -> None:
    assert read(tools=TOOLS).calling.choice.is_parallel
    assert not read(tools=TOOLS, parallel_tool_calls=False).calling.choice.is_parallel


@pytest.mark.parametrize(
    ("given", "wanted", "shown"),
    [
        (None, None, {"type": "text"}),
        ({}, None, {"type": "text"}),
        ({"format": {"type": "text"}}, None, {"type": "text"}),
        (
            {"format": {"type": "json_object"}},
            JsonObject(param="text.format"),
            {"type": "json_object"},
        ),
        (
            schema_text(),
            JsonSchema(SCHEMA, param="text.format"),
            schema_text(description=None, strict=False)["format"],
        ),
        (
            schema_text(strict=True, description="d"),
            JsonSchema(SCHEMA, is_strict=True, param="text.format"),
            schema_text(description="d", strict=True)["format"],
        ),
    ],
)
def test_a_format_is_a_structure(
    given: Any, wanted: Structure | None, shown: dict[str, Any]
) -> None:
    fields = read(text=given).fields
    assert fields.structure == wanted
    assert fields.format.shown == shown


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, Thinking()),
        ({"reasoning": {}}, Thinking()),
        ({"reasoning": {"effort": "xhigh", "summary": "auto"}}, Thinking(Effort.XHIGH)),
        ({"reasoning": {"effort": "none"}}, Thinking(Effort.NONE)),
        ({"reasoning": {"effort": "max"}}, Thinking(Effort.XHIGH)),
        ({"thinking_token_budget": 0}, Thinking(budget=0)),
    ],
)
def test_reasoning_is_a_wish_to_think(fields: dict[str, Any], wanted: Thinking) -> None:
    assert read(**fields).fields.thinking == wanted


def test_scores_are_wanted_where_they_are_to_be_included() -> None:
    scores = ["message.output_text.logprobs"]
    assert read(top_logprobs=0).fields.view.num_logprobs is None
    assert read(include=scores).fields.view.num_logprobs == 0
    assert read(include=scores, top_logprobs=3).fields.view.num_logprobs == 3
