"""What is accepted is honoured to the letter, walked at random without a model."""

import re
from typing import Any

import pytest

from core.grammar import Grammar, GrammarKind
from core.structures import Choice, JsonObject, JsonSchema, LarkGrammar, Regex
from serving.structures.compiler import StructureCompiler
from tests.parity.schemas import Schema, schemas
from tests.serving.structure_walks import accepts, refuse_invalid, walk

COMPILER = StructureCompiler()
NUM_SCHEMAS, NUM_PARTS = 360, 6
CORPUS = schemas(NUM_SCHEMAS, seed=7)


def compiled(schema: Schema | bool) -> Grammar:
    return COMPILER.compile(JsonSchema(schema))


def test_the_corpus_is_the_same_for_a_seed_and_holds_no_schema_twice() -> None:
    assert schemas(NUM_SCHEMAS, seed=7) == CORPUS
    assert schemas(NUM_SCHEMAS, seed=8) != CORPUS
    assert len({str(schema) for schema in CORPUS}) == NUM_SCHEMAS


@pytest.mark.parametrize("part", range(NUM_PARTS))
def test_random_walks_make_json_that_the_schema_accepts(part: int) -> None:
    for schema in CORPUS[part::NUM_PARTS]:
        grammar = compiled(schema)
        for seed in range(3):
            text = walk(grammar, seed)
            assert text is not None, schema
            refuse_invalid(schema, text)


@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z]{2,5}-[0-9]+",
        "(yes|no|maybe)",
        r"\d{4}/\d{2}",
        'a/b|"c"\n',
        "(ab|c){1,3}d?",
        "^anchored$",
        "[äöü]+😀?",
        "",
    ],
)
def test_random_walks_of_a_regex_match_as_a_whole(pattern: str) -> None:
    grammar = COMPILER.compile(Regex(pattern))
    for seed in range(30):
        text = walk(grammar, seed)
        assert text is not None
        assert re.fullmatch(pattern, text)


def test_a_choice_is_one_of_its_texts_and_each_may_come() -> None:
    options = (
        "yes",
        "no",
        "a/b",
        'say "hi"\n',
        "😀 é",
        "[x]+",
        "back\\slash",
        "-~&#<x>",
        "yes, no",
    )
    grammar = COMPILER.compile(Choice(options))
    assert all(accepts(grammar, option) for option in options)
    assert {walk(grammar, seed) for seed in range(60)} <= set(options)
    assert not accepts(grammar, "")


def test_any_object_and_any_json() -> None:
    some_object = COMPILER.compile(JsonObject())
    assert accepts(some_object, '{"a": [1, {"b": null}], "c": "x"}')
    assert not accepts(some_object, "[1]")
    anything: tuple[Any, ...] = (True, {})
    for schema in anything:
        assert accepts(compiled(schema), "[1]")
        assert accepts(compiled(schema), '{"a": 1e5}')


def test_there_is_one_space_at_most_and_none_in_compact_json() -> None:
    loose, compact = COMPILER.compile(JsonObject()), COMPILER.compile(JsonObject(is_compact=True))
    tight, natural = '{"a":1,"b":[1,2]}', '{"a": 1, "b": [1, 2]}'
    assert accepts(loose, tight)
    assert accepts(loose, natural)
    assert accepts(compact, tight)
    assert not accepts(compact, natural)
    for text in (' {"a":1}', '{ "a":1}', '{"a":  1}', '{"a":\n1}', '{"a":1} '):
        assert not accepts(loose, text)


@pytest.mark.parametrize(
    ("schema", "taken", "refused"),
    [
        # A declared name, spelled with an escape, is no other property.
        (
            {"properties": {"ab": {"type": "integer"}}, "additionalProperties": True},
            ['{"ab": 1, "a": "x", "abc": []}'],
            ['{"\\u0061b": "x"}', '{"ab": "x"}', '{"a": 1, "ab": 2}'],
        ),
        (
            {
                "properties": {"ab": {"const": 1}, "abcd": {"const": 2}},
                "additionalProperties": {"const": "x"},
            },
            ['{"ab": 1, "c": "x"}', '{"abcd": 2, "a": "x"}', '{"abc": "x", "": "x"}'],
            ['{"ab": "x"}', '{"abcd": "x"}', '{"c": 1}'],
        ),
        # Nothing is said of other properties: there are none.
        ({"properties": {"a": {}}, "required": ["b"]}, ['{"a": 1, "b": 2}'], ['{"b": 1, "c": 1}']),
        (
            {
                "allOf": [{"$ref": "#/$defs/base"}, {"properties": {"b": {"type": "null"}}}],
                "$defs": {"base": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}},
                "type": "object",
            },
            ['{"a": 1, "b": null}', '{"a": 1}'],
            ['{"b": null}', '{"a": 1, "c": 1}', '{"a": 1, "\\u0062": 1}'],
        ),
        # Of two that exclude each other, one is any.
        (
            {"oneOf": [{"const": 1}, {"const": 2.0}, {"type": "string", "maxLength": 1}]},
            ["1", "2", '"a"'],
            ["3", '"ab"'],
        ),
        ({"items": [{"const": 1}], "additionalItems": {"const": 2}}, ["[1, 2, 2]"], ["[2]"]),
        ({"type": "string", "format": "date"}, ['"2024-02-29"'], ['"2023-02-29"', '"1900-02-29"']),
        ({"type": "integer", "minimum": -5, "exclusiveMaximum": 3}, ["-5", "2"], ["-6", "3", "01"]),
        ({"const": {"a": [1.0, -0.0, None]}}, ['{"a": [1, 0, null]}'], ['{"a": [1, 0]}']),
        ({"enum": ["a", 1, None], "type": ["string", "null"]}, ['"a"', "null"], ["1"]),
        ({"type": "string", "maxLength": 1}, ['"😀"', '"\\n"'], ['"ab"', '"\\ud800"']),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 7}}}, ["7"], ["8"]),
        (
            {"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"const": 1}]},
            ["[[1], 1, []]"],
            ["[2]"],
        ),
    ],
)
def test_each_meaning_is_kept(schema: Schema, taken: list[str], refused: list[str]) -> None:
    grammar = compiled(schema)
    assert [text for text in taken if not accepts(grammar, text)] == []
    assert [text for text in refused if accepts(grammar, text)] == []


def test_properties_come_in_the_order_of_the_schema() -> None:
    grammar = compiled({"properties": {"z": {"const": 1}, "a": {"const": 2}}, "required": ["a"]})
    assert accepts(grammar, '{"z": 1, "a": 2}')
    assert not accepts(grammar, '{"a": 2, "z": 1}')


def test_annotations_change_nothing() -> None:
    annotated: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/x",
        "title": "t",
        "description": "d",
        "default": 3,
        "examples": [1],
        "deprecated": True,
        "readOnly": True,
        "$comment": "c",
        "type": "integer",
        "uniqueItems": False,
    }
    assert compiled(annotated) == compiled({"type": "integer"})


def test_gbnf_is_turned_into_lark() -> None:
    grammar = COMPILER.compile(LarkGrammar('root ::= "n=" num (", " num)*\nnum ::= [0-9]+'))
    assert grammar.kind is GrammarKind.LARK
    assert accepts(grammar, "n=1, 22")
    assert not accepts(grammar, "n=")


def test_a_schema_within_a_grammar_is_read_like_any_other() -> None:
    inner = '{"properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"const": 1}}}'
    grammar = COMPILER.compile(LarkGrammar(f'start: "<x>" %json {inner} "</x>"'))
    assert accepts(grammar, '<x>{"a": 1}</x>')
    assert not accepts(grammar, '<x>{"a": 1, "b": 1}</x>')
    assert not accepts(grammar, '<x>{"a":  1}</x>')


def test_what_looks_like_a_special_token_is_text_in_quotes_and_comments() -> None:
    grammar = COMPILER.compile(LarkGrammar('start: "<|im_end|>" /<[3]>/  // <|im_end|>\n'))
    assert accepts(grammar, "<|im_end|><3>")


@pytest.mark.parametrize("schema", [{"type": "object"}, {"properties": {}}])
def test_an_object_that_names_nothing_is_open(schema: Schema) -> None:
    assert accepts(compiled(schema), '{"anything": 1}')
