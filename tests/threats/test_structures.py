"""Schemas, patterns and grammars that killed engines, ate memory without bound, or kept others
waiting: refused by field before the engine sees them, or honoured.
"""

import json
from typing import Any

import pytest

from core.structures import JsonSchema
from serving.structures.compiler import StructureCompiler
from tests.threats.oracle import Attack, Target, chat_attack

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]


def schema(value: Any, name: str = "a") -> Attack:
    wanted = {"type": "json_schema", "json_schema": {"name": name, "schema": value}}
    return chat_attack(response_format=wanted, temperature=0)


def structured(**kinds: Any) -> Attack:
    return chat_attack(structured_outputs=kinds, temperature=0)


def tool(parameters: dict[str, Any], *, is_strict: bool) -> Attack:
    function = {"name": "look", "parameters": parameters, "strict": is_strict}
    return chat_attack(tools=[{"type": "function", "function": function}], temperature=0)


def deep(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        value = {"type": "array", "items": value}
    return value


SELF = {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}
WORDS = {"enum": [f"word number {number}" for number in range(70_000)]}
REFUSED = (
    pytest.param(schema({"type": "stsring"}), "response_format", id="CVE-2025-48942"),
    pytest.param(schema({"properties": [1]}), "response_format", id="CVE-2025-48942-properties"),
    pytest.param(schema("x"), "response_format", id="CVE-2025-48942-no-schema"),
    pytest.param(structured(regex="[.*"), "structured_outputs", id="CVE-2025-48943"),
    pytest.param(structured(regex="(?<=a)b"), "structured_outputs", id="CVE-2025-48943-behind"),
    pytest.param(
        structured(regex="((a{1,999}){1,999}){1,999}"), "structured_outputs", id="CVE-2026-55574"
    ),
    pytest.param(
        structured(regex="((.*a.{60}){60}){60}"), "structured_outputs", id="GHSA-48jh-3gj7-fg8v"
    ),
    pytest.param(
        structured(grammar="root ::= " + "(" * 30_000 + '"a"' + ")" * 30_000),
        "structured_outputs",
        id="CVE-2025-57809",
    ),
    pytest.param(structured(regex="[" * 8192), "structured_outputs", id="CVE-2026-55574-brackets"),
    pytest.param(schema(deep(200)), "response_format", id="CVE-2025-58446"),
    pytest.param(schema(WORDS), "response_format", id="CVE-2026-25048"),
    pytest.param(schema(SELF), "response_format", id="CVE-2026-25048-recursive"),
    pytest.param(structured(grammar=""), "structured_outputs", id="CVE-2026-105757-grammar"),
    pytest.param(structured(json=""), "structured_outputs", id="CVE-2026-105757-json"),
    pytest.param(structured(choice=[]), "structured_outputs", id="CVE-2026-105757-choice"),
    pytest.param(structured(), "structured_outputs", id="CVE-2026-105757-none"),
    pytest.param(schema(False), "response_format", id="CVE-2026-105757-false"),
    pytest.param(
        structured(grammar="root ::= " + "(" * 60_000 + '"a"' + ")" * 5000),
        "structured_outputs",
        id="CVE-2026-2069",
    ),
    pytest.param(structured(grammar="root ::= root"), "structured_outputs", id="llama.cpp-26600"),
    pytest.param(structured(grammar="%llguidance"), "structured_outputs", id="llama.cpp-25960"),
    pytest.param(
        structured(grammar='%llguidance {}\nstart: "a" <|x|>'),
        "structured_outputs",
        id="llama.cpp-25960-token",
    ),
    pytest.param(structured(grammar="x"), "structured_outputs", id="llama.cpp-4492"),
    pytest.param(
        tool({"type": "object", "properties": {"x": {"type": "something"}}}, is_strict=True),
        "tools[0]",
        id="CVE-2025-48944-type",
    ),
    pytest.param(
        tool({"type": "object", "properties": {"x": {"pattern": "["}}}, is_strict=True),
        "tools[0]",
        id="CVE-2025-48944-pattern",
    ),
)
HONOURED = (
    pytest.param(schema({}), id="CVE-2026-105757-empty-schema"),
    pytest.param(structured(json={}), id="CVE-2026-105757-empty-json"),
    pytest.param(structured(json_object=True), id="CVE-2026-105757-object"),
    pytest.param(structured(regex="(a+)+b"), id="CVE-2026-55574-nested"),
    pytest.param(structured(regex="(x|xx)+y"), id="GHSA-48jh-3gj7-fg8v-overlapping"),
    pytest.param(
        tool({"type": "object", "properties": {"x": {"type": "something"}}}, is_strict=False),
        id="CVE-2025-48944-not-strict",
    ),
    pytest.param(
        tool({"type": "object", "properties": {"x": {"pattern": "["}}}, is_strict=False),
        id="llama.cpp-27619",
    ),
)


@pytest.mark.parametrize(("attack", "param"), REFUSED)
async def test_a_structure_that_cannot_be_followed_is_refused(
    llama_target: Target, attack: Attack, param: str
) -> None:
    error = await llama_target.refuses(attack)
    assert str(error["param"]).startswith(param) or not param
    if param.startswith("tools"):
        assert "look" in error["message"]


@pytest.mark.parametrize("attack", HONOURED)
async def test_an_odd_structure_harms_nobody(llama_target: Target, attack: Attack) -> None:
    response = await llama_target.during(attack)
    assert response.status_code == 200, response.text


async def test_llama_cpp_12597_a_tool_whose_description_is_grammar_is_called(
    llama_target: Target,
) -> None:
    """The words of the tool's own grammar in all of its texts."""
    words = '"}]\n</tool_call>root ::= "\\u0000" {{ x }} %llguidance'
    fields = {"type": "string", "description": words, "enum": [words, "<tool_call>", "\n"]}
    parameters = {"type": "object", "properties": {"x": fields}, "required": ["x"]}
    function = {"name": "look", "description": words, "parameters": parameters, "strict": True}
    asked = {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}
    answer = await llama_target.during(chat_attack(**asked, max_tokens=200, temperature=0))
    assert answer.status_code == 200, answer.text
    call = answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    assert json.loads(call["arguments"])["x"] in fields["enum"]


async def test_cve_2025_58446_a_body_that_nests_without_end_is_refused(
    llama_target: Target,
) -> None:
    for opening, closing in ((b'{"items":', b"}"), (b"[", b"]")):
        inside = opening * 100_000 + b"1" + closing * 100_000
        body = b'{"response_format":' + inside + b"}"
        assert (
            "JSON" in (await llama_target.refuses(Attack("/v1/chat/completions", body)))["message"]
        )


@pytest.mark.parametrize("pattern", [".*a.{40}", "(.*a.{30}|b){30}", "(a|b|.)*[^a].{25}c?"])
async def test_cve_2026_55574_a_pattern_with_very_many_states_stops_nobody(
    llama_target: Target, pattern: str
) -> None:
    attack = structured(regex=pattern)
    assert isinstance(attack.body, dict)
    answer = await llama_target.during(Attack(attack.path, attack.body | {"max_tokens": 300}))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.long)])
async def test_cve_2025_29770_schemas_of_which_none_comes_twice_are_not_kept(count: int) -> None:
    compiler = StructureCompiler()
    for number in range(count):
        each = {"type": "object", "properties": {f"p{number}": {"const": number}}}
        compiler.compile(JsonSchema(each))
    assert len(compiler._schemas._kept) == len(compiler._faults._kept) == 256
