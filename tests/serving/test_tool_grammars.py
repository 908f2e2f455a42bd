"""The grammars of calls let through what a reader finds as calls, and nothing that it mistakes."""

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.parsing import call_parser
from chat_formats.tool_calls.syntax import (
    HERMES,
    JSON_ANSWER,
    LLAMA3_JSON,
    MISTRAL_LIST,
    MISTRAL_NAMED,
    PYTHONIC,
    CallBody,
    CallSyntax,
)
from core.events import TextDelta, ToolCallDelta, ToolCallStarted
from core.grammar import Grammar, GrammarKind
from core.structures import JsonSchema
from core.tool_choice import ToolChoice, ToolMode
from serving.answers.python_grammars import can_be_python, python_rules
from serving.answers.tool_grammars import AnswerForms, ToolSchema, tool_grammar
from serving.structures.compiler import StructureCompiler
from tests.serving.structure_walks import REHEARSAL, accepts, refuse_invalid, walk

BARE = CallSyntax("json_object", CallBody.OBJECT)
TAGGED = CallSyntax("json_object", CallBody.OBJECT, "<fn>", "</fn>", "parameters")
EVERY = (HERMES, LLAMA3_JSON, PYTHONIC, MISTRAL_LIST, MISTRAL_NAMED, JSON_ANSWER, BARE, TAGGED)
COMPILER = StructureCompiler()
REQUIRED = ToolChoice(ToolMode.REQUIRED)
N = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
HARD_NAMES = ("a.b", "a-b", "a:b/c", "F_1", "1")
HARD_SCHEMAS: tuple[dict[str, Any], ...] = (
    {
        "type": "object",
        "properties": {'a"b\\c\n/]é🙂': {"type": "integer"}, "": {"const": '"\\\n</tool_call>'}},
        "required": ['a"b\\c\n/]é🙂', ""],
        "additionalProperties": False,
    },
    {
        "type": "object",
        "properties": {"नाम": {"enum": ["é", "'", '"', "\\"]}, "℘": {"type": "boolean"}},
        "required": ["नाम"],
    },
    {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/tree"}, "n": {"type": "integer"}},
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"sub": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            }
        },
    },
    {"type": "object", "properties": {"e": {"enum": [f"v{n}" for n in range(4000)]}}},
    {"type": "object", "properties": {}},
    {"type": "object"},
)


def made(
    syntax: CallSyntax,
    schemas: Iterable[Mapping[str, Any]],
    choice: ToolChoice = REQUIRED,
    controls: Mapping[str, int] | None = None,
) -> Grammar:
    names = itertools.chain(HARD_NAMES, (f"tool_{number}" for number in itertools.count()))
    tools = [
        ToolSchema(name, COMPILER.compile(JsonSchema(schema, param="tools")).text)
        for name, schema in zip(names, schemas, strict=False)
    ]
    text = tool_grammar(syntax, AnswerForms(tools, choice), controls or {})
    return Grammar(GrammarKind.LARK, text)


def calls_in(syntax: CallSyntax, text: str) -> tuple[str, list[tuple[str, str]]]:
    emitter = Emitter(lambda: "id")
    parser = call_parser(syntax, frozenset(HARD_NAMES), emitter)
    said, calls = "", list[tuple[str, str]]()
    for part in [*parser.feed(text), *parser.flush()]:
        match part:
            case TextDelta(more):
                said += more
            case ToolCallStarted(_, _, name):
                calls.append((name, ""))
            case ToolCallDelta(index, arguments):
                calls[index] = (calls[index][0], calls[index][1] + arguments)
    return said, calls


@pytest.mark.parametrize("syntax", EVERY)
@pytest.mark.parametrize("schema", HARD_SCHEMAS)
def test_what_the_grammar_lets_through_is_read_as_calls_that_match(
    syntax: CallSyntax, schema: dict[str, Any]
) -> None:
    text_schema = COMPILER.compile(JsonSchema(schema, param="tools")).text
    if syntax is PYTHONIC and not can_be_python(text_schema):
        return
    schemas = dict(zip(HARD_NAMES, (schema, N, N, N, schema), strict=True))
    grammar = made(syntax, schemas.values())
    ended = 0
    for seed in range(8):
        text = walk(grammar, seed)
        if text is None:
            continue
        ended += 1
        said, calls = calls_in(syntax, text)
        assert said == "", text
        assert calls, text
        for name, arguments in calls:
            refuse_invalid(schemas[name], arguments)
    assert ended


@pytest.mark.parametrize("syntax", EVERY)
def test_text_that_is_let_through_is_not_read_as_a_call(syntax: CallSyntax) -> None:
    """Strict arguments hold also where the model spells a marker out."""
    wrong = {"name": "a.b", syntax.arguments_key: {"n": "x"}}
    body = json.dumps(wrong)
    answers = [
        f"{syntax.opening}\n{body}\n{syntax.closing}",
        f"{syntax.opening}{body}",
        f"{syntax.opening}[{body}]",
        f"text {syntax.opening}\n{body}\n{syntax.closing}",
        f'{syntax.opening}a.b[ARGS]{{"n": "x"}}',
        f"{syntax.tag}{body}",
        f"{syntax.tag}[a.b(n='x')]",
        "[a.b(n='x')]",
        f" {body}",
    ]
    free = made(syntax, [N], ToolChoice())
    held = made(syntax, [N], ToolChoice(), dict.fromkeys(syntax.markers, 300))
    for answer in answers:
        for grammar in (free, _without_ids(held)):
            assert not accepts(grammar, answer) or not calls_in(syntax, answer)[1], answer
    if syntax is not JSON_ANSWER:
        for answer in ("", "hello", "hello { [ <tool_cal"):
            assert accepts(free, answer), answer


def _without_ids(grammar: Grammar) -> Grammar:
    """For a walk over bytes: what can't be written there can't come."""
    return Grammar(grammar.kind, grammar.text.replace("<[300]>", '"\\u0000"'))


CALL = '{"name": "a.b", "arguments": {"n": 1}}'
LLAMA_CALL = CALL.replace("arguments", "parameters")


@pytest.mark.parametrize(
    ("syntax", "answer", "wrong"),
    [
        (HERMES, "\n".join([f"<tool_call>\n{CALL}\n</tool_call>"] * 2), CALL),
        (LLAMA3_JSON, f"{LLAMA_CALL}; {LLAMA_CALL}", f"[{LLAMA_CALL}]"),
        (PYTHONIC, "[a.b(n=1), a.b(n=2)]", "a.b(n=1)"),
        (MISTRAL_LIST, f"[TOOL_CALLS] [{CALL}, {CALL}]", f"[TOOL_CALLS]{CALL}"),
        (MISTRAL_LIST, f'[TOOL_CALLS][{CALL[:-1]}, "id": "abcdefghi"}}]', f"[{CALL}]"),
        (MISTRAL_NAMED, '[TOOL_CALLS]a.b[ARGS]{"n": 1}[TOOL_CALLS]a.b[ARGS]{"n": 2}', CALL),
        (JSON_ANSWER, f'{{"tool_calls": [{CALL}, {CALL}]}}', '{"response": "hi"}'),
        (BARE, f"{CALL}; {CALL}", f'{CALL[:-1]}, "id": "abcdefghi"}}'),
    ],
)
def test_forced_calls_are_written_as_the_family_does(
    syntax: CallSyntax, answer: str, wrong: str
) -> None:
    forced = made(syntax, [N])
    assert accepts(forced, answer)
    assert not accepts(forced, wrong)
    assert not accepts(forced, "hello")
    assert accepts(made(syntax, [N], ToolChoice()), answer)


@pytest.mark.parametrize("syntax", [each for each in EVERY if each is not JSON_ANSWER])
def test_beside_a_structure_an_answer_is_a_call_or_matches_it(syntax: CallSyntax) -> None:
    tool = ToolSchema("a.b", COMPILER.compile(JsonSchema(N, param="tools")).text)
    forms = AnswerForms([tool], ToolChoice(), '{"type": "boolean"}')
    grammar = Grammar(GrammarKind.LARK, tool_grammar(syntax, forms, {}))
    call = walk(made(syntax, [N]), 3)
    assert call is not None
    assert accepts(grammar, call)
    assert accepts(grammar, "true")
    assert not accepts(grammar, "hello")
    assert not accepts(grammar, f"true {call}")


def test_an_answer_of_the_fallback_holds_a_text() -> None:
    free = made(JSON_ANSWER, [N], ToolChoice())
    assert accepts(free, '{"response": "hi"}')
    assert not accepts(free, '{"response": 1}')
    assert not accepts(free, "hi")


@pytest.mark.parametrize("syntax", EVERY)
def test_a_choice_without_parallel_calls_lets_one_through(syntax: CallSyntax) -> None:
    grammar = made(syntax, [N, N], ToolChoice(ToolMode.REQUIRED, is_parallel=False))
    for seed in range(8):
        text = walk(grammar, seed)
        assert text is not None
        assert len(calls_in(syntax, text)[1]) == 1
    several = [walk(made(syntax, [N, N]), seed) for seed in range(12)]
    assert max(len(calls_in(syntax, text)[1]) for text in several if text is not None) > 1


@pytest.mark.parametrize("syntax", EVERY)
def test_a_name_is_the_only_call_where_it_is_chosen(syntax: CallSyntax) -> None:
    tool = ToolSchema("a-b", COMPILER.compile(JsonSchema(N, param="tools")).text)
    forms = AnswerForms([tool], ToolChoice(ToolMode.NAMED, "a-b"))
    text = walk(Grammar(GrammarKind.LARK, tool_grammar(syntax, forms, {})), 1)
    assert text is not None
    assert {name for name, _ in calls_in(syntax, text)[1]} == {"a-b"}


@pytest.mark.parametrize("syntax", [HERMES, PYTHONIC])
@pytest.mark.parametrize("choice", [REQUIRED, ToolChoice()])
def test_hundreds_of_tools_make_a_grammar_of_their_own_size(
    syntax: CallSyntax, choice: ToolChoice
) -> None:
    grammar = made(syntax, [N] * 512, choice)
    assert len(grammar.text) < 512 * 700
    assert REHEARSAL.fault_of(grammar) is None


def test_many_properties_make_no_large_grammar_of_python() -> None:
    properties = {f"p{n}": {"type": "string", "enum": ["a", "b"]} for n in range(100)}
    grammar = made(PYTHONIC, [{"type": "object", "properties": properties}])
    assert len(grammar.text) < 50_000
    assert REHEARSAL.fault_of(grammar) is None
    for answer in ("[a.b()]", '[a.b(p0="a")]', '[a.b(p7="a", p8="b", p99="b")]', '[a.b(p99="a")]'):
        assert accepts(grammar, answer), answer
    for answer in ('[a.b(p8="a", p7="b")]', '[a.b(, p7="b")]', '[a.b(p7="b", )]', '[a.b(p7="c")]'):
        assert not accepts(grammar, answer), answer


def test_needed_arguments_of_python_come_first_and_others_may() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"const": 1}},
        "required": ["b"],
    }
    grammar = made(PYTHONIC, [schema])
    for answer in ("[a.b(b=1)]", "[a.b(b=1, a=2)]", "[a.b(b=1, c=1)]", "[a.b(b=1, a=2, c=1)]"):
        assert accepts(grammar, answer), answer
    for answer in ("[a.b()]", "[a.b(a=1)]", "[a.b(a=1, b=1)]", "[a.b(b=1, c=1, a=2)]"):
        assert not accepts(grammar, answer), answer


def test_arguments_of_python_bring_only_the_definitions_that_they_refer_to() -> None:
    shared = {
        "used": {"type": "array", "items": {"$ref": "#/$defs/deep"}},
        "deep": {"const": 5},
        "other": {"const": "other"},
    }
    schema = {"type": "object", "$defs": shared, "properties": {"a": {"$ref": "#/$defs/used"}}}
    rules = "\n".join(python_rules("call_0", "f", json.dumps(schema)))
    assert '"deep"' in rules
    assert '"other"' not in rules
    grammar = Grammar(GrammarKind.LARK, f"%llguidance {{}}\nstart: call_0\n{rules}\n")
    assert accepts(grammar, "f(a=[5])")
    assert not accepts(grammar, "f(a=[6])")


@pytest.mark.parametrize(
    ("schema", "can_be"),
    [
        (N, True),
        ({"type": "object"}, True),
        ({"$ref": "#/$defs/a", "$defs": {"a": N}}, True),
        ({"type": "object", "properties": {"a-b": {}}}, False),
        ({"type": "object", "minProperties": 1}, False),
        ({"type": "object", "required": ["n"]}, False),
        ({"anyOf": [N, N]}, False),
    ],
)
def test_what_python_can_say_is_known(schema: dict[str, Any], can_be: bool) -> None:
    assert can_be_python(json.dumps(schema)) is can_be


def test_markers_that_are_control_tokens_stand_in_the_grammar_by_id() -> None:
    ids = {"<tool_call>": 7, "[TOOL_CALLS]": 8, "[ARGS]": 9}
    hermes = made(HERMES, [N], controls=ids).text
    assert "start: <[7]> calls" in hermes
    assert '"</tool_call>"' in hermes
    named = made(MISTRAL_NAMED, [N], ToolChoice(), ids).text
    assert "start: ANSWER (<[8]> calls)?" in named
    assert '"a.b" <[9]> %json' in named
