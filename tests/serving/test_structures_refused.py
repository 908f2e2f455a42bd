"""What can't be honoured is refused before any engine, with its place and the reason."""

import json
from typing import Any

import pytest

from core.errors import InvalidValue
from core.structures import Choice, JsonSchema, LarkGrammar, Regex, Structure
from serving.structures.compiler import StructureCompiler

COMPILER = StructureCompiler()
OBJECT = {"type": "object"}


def refusal(structure: Structure) -> str:
    with pytest.raises(InvalidValue) as found:
        COMPILER.compile(structure)
    assert found.value.param == structure.param
    message = str(found.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


@pytest.mark.parametrize(
    "keyword",
    [
        *("not", "if", "then", "else", "contains", "minContains", "propertyNames"),
        *("dependentSchemas", "dependentRequired", "dependencies", "unevaluatedProperties"),
        *("unevaluatedItems", "contentMediaType", "contentEncoding", "contentSchema"),
        *("$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$anchor", "$vocabulary", "id"),
        *("nullable", "x-guidance", "x-order", "made up", "xml"),
    ],
)
def test_a_keyword_that_is_not_honoured_is_named_with_its_place(keyword: str) -> None:
    schema = {"type": "object", "properties": {"a": {"anyOf": [{keyword: {}}]}}}
    assert f"at #/properties/a/anyOf/0: the keyword '{keyword}'" in refusal(JsonSchema(schema))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "any"}, "type is any; allowed is of null"),
        ({"type": []}, "type is []"),
        ({"type": 3}, "type is 3"),
        ({"format": "uri-reference"}, "format is uri-reference; allowed is one of date-time"),
        ({"format": "unknown"}, "format is unknown"),
        ({"enum": []}, "enum is []"),
        ({"enum": 1}, "enum is 1"),
        ({"anyOf": []}, "anyOf is []"),
        ({"anyOf": [3]}, "at #/anyOf/0: 3 is no schema"),
        ({"properties": []}, "properties is []"),
        ({"properties": {"a": 1}}, "at #/properties/a: 1 is no schema"),
        ({"required": "a"}, "required is a"),
        ({"required": [1]}, "required is [1]"),
        ({"minLength": -1}, "minLength is -1"),
        ({"minLength": 1.5}, "minLength is 1.5"),
        ({"maxItems": 1001}, "maxItems is 1001; allowed is an integer from 0 to 1000"),
        ({"minimum": True}, "minimum is True"),
        ({"minimum": "3"}, "minimum is 3; allowed is a number"),
        ({"minimum": 3, "exclusiveMinimum": True}, "exclusiveMinimum is True"),
        ({"minimum": -(2**63)}, "minimum is -9223372036854775808"),
        ({"maximum": 1e300}, "maximum is 1e+300"),
        ({"minimum": 1e-300}, "minimum is 1e-300"),
        ({"multipleOf": 0}, "multipleOf is 0"),
        ({"multipleOf": -2}, "multipleOf is -2"),
        ({"multipleOf": 99991}, "multipleOf is 99991"),
        ({"const": -(2**63)}, "the number -9223372036854775808 is not kept exactly"),
        ({"enum": [{"a": [1e300]}]}, "the number 1e+300 is not kept exactly"),
        ({"const": float("nan")}, "holds nan"),
        ({"const": "\ud800"}, "half of a surrogate pair"),
        ({"properties": {"\udc00": {}}}, "half of a surrogate pair"),
        ({"uniqueItems": True}, "uniqueItems is True; allowed is false"),
        ({"$schema": "http://example.com/"}, "$schema is http://example.com/"),
        ({"$ref": "http://example.com/x"}, "this reference leaves the schema"),
        ({"$ref": "#anchor"}, "this reference leaves the schema"),
        ({"$ref": "#/nowhere"}, "this reference points at nothing"),
        ({"$ref": "#/title", "title": "x"}, "this reference points at no schema"),
        ({"items": {"$id": "x"}}, "the keyword '$id'"),
        ({"items": [{}], "prefixItems": [{}]}, "items is a list beside prefixItems"),
        ({"prefixItems": [{}], "additionalItems": False}, "additionalItems goes with a list"),
        ({"patternProperties": {"^a": {}}, "additionalProperties": True}, "patternProperties goes"),
        ({"allOf": [{**OBJECT, "additionalProperties": {}}, OBJECT]}, "with additionalProperties:"),
        ({"minProperties": 2}, "minProperties is 2"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "branches 0 and 1 are not provably"),
        ({"oneOf": [{"const": 0}, {"const": -0.0}]}, "branches 0 and 1"),
        ({"oneOf": [{"anyOf": [{"const": 1}, {"const": "a"}]}, {"const": "a"}]}, "branches 0 and"),
        (
            {"oneOf": [{**OBJECT, "properties": {"kind": {"const": i}}} for i in range(2)]},
            "branches 0 and 1",
        ),
        ({"pattern": "("}, "at #/pattern: the pattern can't be used: regex parse error"),
        ({"pattern": r"(?!a)b"}, "look-around"),
        ({"pattern": r"(a)\1"}, "backreferences"),
        ({"pattern": r"\bword\b"}, "lookarounds not supported"),
        ({"pattern": r"(?-u:\xff)"}, "turns Unicode off"),
        ({"pattern": "(a{1000}){1000}"}, "repeats too much"),
        ({"pattern": "[" * 8192}, "nothing closes"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(schema: dict[str, Any], words: str) -> None:
    assert words in refusal(JsonSchema(schema))


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "array", "prefixItems": [{}, {"$ref": "#"}], "minItems": 2},
        {"anyOf": [{"$ref": "#"}, False]},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "array", "minItems": 3, "maxItems": 2},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "number", "minimum": 3, "exclusiveMaximum": 3},
        {"type": "integer", "multipleOf": 7, "minimum": 8, "maximum": 13},
        {"allOf": [{"type": "integer"}, {"type": "string"}]},
        {"enum": [1, 2], "type": "string"},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        {"type": "array", "items": False, "minItems": 1},
        {"type": "string", "pattern": "^a{2}$", "minLength": 3},
        {"type": "string", "pattern": r"[^\s\S]"},
        {"type": "string", "format": "date", "maxLength": 9},
    ],
)
def test_what_no_value_can_match_is_refused(schema: Any) -> None:
    refusal(JsonSchema(schema))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (OBJECT, "strict is true, and additionalProperties is not false"),
        (
            {"properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": False},
            "required does not name 'b'",
        ),
        (
            {
                "properties": {"a": {"type": ["object", "null"], "properties": {}}},
                "required": ["a"],
                "additionalProperties": False,
            },
            "at #/properties/a: strict is true",
        ),
    ],
)
def test_a_strict_schema_is_closed_and_requires_all(schema: dict[str, Any], words: str) -> None:
    assert words in refusal(JsonSchema(schema, is_strict=True))
    COMPILER.compile(JsonSchema(schema))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "unclosed group"),
        (r"[^\s\S]", "no text can match it"),
        ("a{99999999999}", "repeats too much"),
        ("(a?){2000}a{2000}", "too many expressions"),
        ("\ud800", "half of a surrogate pair at character 0"),
        (r"a(?=b)", "look-around"),
        ("(?-u:.)", "turns Unicode off"),
        ("a[b", "has a [ that nothing closes"),
        # Quadratic where each is searched for its end.
        ("[" * 8192, "has a [ that nothing closes"),
        ("[[:a" * 2048, "has a [ that nothing closes"),
    ],
)
def test_a_regex_is_refused_with_the_reason(pattern: str, words: str) -> None:
    assert words in refusal(Regex(pattern))


def test_a_comment_of_a_verbose_pattern_may_hold_a_bracket() -> None:
    StructureCompiler().compile(Regex("(?x)a # [ x\n b"))


def test_a_choice_is_of_texts_and_not_too_long() -> None:
    assert "half of a surrogate pair" in refusal(Choice(("a", "\ud800")))
    assert "more than 65536 characters" in refusal(Choice(("a" * 40_000, "b" * 40_000)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('start: "a" <|im_end|>', "line 1: <|im_end|> is a special token"),
        ('start: "a"\n  | <[128000-128255]>', "line 2: <[128000-128255]> is a special token"),
        ("start: <[^3]>", "special token"),
        ("start: a\na[max_tokens=3]: /.*/", "[max_tokens=3] is not supported"),
        ("start: a\na[temperature=0.3]: /.*/", "is not supported"),
        ('start: a "b"\na[stop="b"]: /.*/', "is not supported"),
        ("start: A\nA: ~/a/", "~ is not supported"),
        ('%llguidance {"no_forcing": true}\nstart: "a"', "takes no options"),
        ('%declare A\nstart: "a"', "%declare is not supported"),
        ('start: %json {"not": {}}', "the keyword 'not' is not supported"),
        ("start: %json [", "%json is followed by no JSON object"),
        ("start: %json {", "%json is followed by no JSON object"),
        ("start: A\nA: /(?-u:.)/", "turns Unicode off"),
        ('start: "a"{1001}', "repeats too often"),
        ('start: ("a"{1000}){1000}', "Too many items"),
        ('start: start "a"', "no text can match it"),
        ("start: other", "unknown name"),
        ("start: (", "grammar can't be used"),
        ("nonsense", "neither Lark nor GBNF"),
        ("root ::= other", "Rule 'other' not found"),
        ('root ::= "\\', "neither Lark nor GBNF"),
        ("root ::= " + "(" * 5000, "neither Lark nor GBNF"),
        ('start: "\ud800"', "half of a surrogate pair"),
    ],
)
def test_a_grammar_is_refused_with_the_reason(text: str, words: str) -> None:
    assert words in refusal(LarkGrammar(text))


def chain(count: int, link: str, end: Any) -> dict[str, Any]:
    links: dict[str, Any] = {f"d{i}": json.loads(link % (i + 1)) for i in range(count)}
    return {"$ref": "#/$defs/d0", "$defs": {**links, f"d{count}": end}}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


def rules(count: int, form: str) -> str:
    links = "".join(form.format(i, i + 1) for i in range(count))
    return "start: " + form.format(0, 1).split(":")[0] + "\n" + links


PAIR = '{"prefixItems": [{"$ref": "#/$defs/d%d"}, {"$ref": "#"}]}'
HOSTILE: dict[str, Structure] = {
    "deep": JsonSchema(nested(100_000)),
    "a million keys": JsonSchema({"properties": {f"k{i}": {} for i in range(300_000)}}),
    "a million items": JsonSchema({"enum": list(range(1_000_000))}),
    "long": JsonSchema({"description": "x" * 10_000_000}),
    "definitions": JsonSchema(chain(5000, '{"$ref": "#/$defs/d%d"}', {"type": "null"})),
    "doubled": JsonSchema(chain(400, PAIR, {"type": "null"})),
    "subschemas": JsonSchema({"anyOf": [{"anyOf": [{}] * 400}] * 10}),
    "wide": JsonSchema({"properties": {f"p{i}": {"type": "null"} for i in range(401)}}),
    "wide unions": JsonSchema(
        {
            "type": "array",
            "prefixItems": [
                {"type": "string", "minLength": 200},
                {
                    "anyOf": [
                        {"type": "object", "properties": {f"p{i}_{j}": {} for j in range(30)}}
                        for i in range(40)
                    ]
                },
            ],
            "minItems": 2,
        }
    ),
    "union": JsonSchema({"anyOf": [{"const": i} for i in range(401)]}),
    "patterns": JsonSchema({"anyOf": [{"pattern": f"{i}$"} for i in range(101)]}),
    "names": JsonSchema({"patternProperties": {f"^p{i}_": {} for i in range(33)}}),
    "alike": LarkGrammar("start: " + '"a" | ' * 4000 + '"b"'),
    "regex": Regex("((a{1000}){1000}){1000}"),
    "long regex": Regex("a" * 60_000),
    "deep regex": Regex("(" * 5000 + "a" + ")" * 5000),
    "rules": LarkGrammar(rules(2000, 'a{}: a{} "x"\n')),
    "lazy rules": LarkGrammar(rules(2000, "A{}[lazy]: A{}\n")),
    "groups": LarkGrammar("start: " + "(" * 15_000 + '"a"' + ")" * 15_000),
    "doubled terminals": LarkGrammar(rules(40, "A{0}: A{1} A{1}\n") + 'A40: "a"'),
    "negations": LarkGrammar("start: A\nA: /.*a.{12}/ & /.*b.{12}/ & /(a|b)*c.{13}/ & /.*d.{14}/"),
    "gbnf": LarkGrammar("root ::= a0\n" + "".join(f"a{i} ::= a{i + 1}\n" for i in range(2000))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_structures_are_refused_at_once(name: str) -> None:
    refusal(HOSTILE[name])
