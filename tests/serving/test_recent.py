"""What was compiled lately is not compiled again; what is old is forgotten."""

import pytest

from core.errors import InvalidValue
from core.structures import JsonSchema
from serving.structures.compiler import StructureCompiler
from serving.structures.recent import Recent


def test_the_last_ones_are_kept_and_the_least_recently_used_goes_first() -> None:
    recent, made = Recent[int](2), list[int]()

    def get(key: int) -> int:
        return recent.get(key, lambda: made.append(key) or key)  # type: ignore[func-returns-value]

    assert [get(key) for key in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2]


def test_a_failure_is_not_kept() -> None:
    recent = Recent[int](2)
    with pytest.raises(ZeroDivisionError):
        recent.get("a", lambda: 1 // 0)
    assert recent.get("a", lambda: 1) == 1


def test_schemas_that_differ_only_in_how_they_are_held_to_are_told_apart() -> None:
    compiler, schema = StructureCompiler(), {"type": "object", "properties": {"a": {}}}
    loose = compiler.compile(JsonSchema(schema))
    assert compiler.compile(JsonSchema(schema, param="other")) is loose
    assert compiler.compile(JsonSchema(schema, is_compact=True)) != loose
    with pytest.raises(InvalidValue, match="tools"):
        compiler.compile(JsonSchema(schema, is_strict=True, param="tools[0]"))
