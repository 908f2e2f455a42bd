"""How much structure a body may have, counted without decoding it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import json_shape
from api.json_shape import MAX_DEPTH, MAX_FIELDS, MAX_PARTS, check_shape
from api.reading import parse_object
from core.errors import InvalidValue

ODD_TEXT = st.text(alphabet='[]{}":\\,a', max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    ODD_TEXT | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD_TEXT, inner, max_size=4),
    max_leaves=20,
)


def num_parts(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + num_parts(each) for each in value.values())
    return 1 + sum(map(num_parts, value)) if isinstance(value, list) else 0


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0


def is_refused(body: bytes) -> bool:
    try:
        check_shape(body)
    except InvalidValue:
        return True
    return False


@given(VALUES, st.integers(0, 40), st.integers(0, 6))
def test_parts_and_depth_are_those_of_the_value(value: Any, most: int, deepest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_shape, "MAX_PARTS", most)
        patch.setattr(json_shape, "MAX_DEPTH", deepest)
        is_too_much = num_parts(value) > most or depth(value) > deepest
        assert is_refused(json.dumps(value).encode()) is is_too_much


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":[' + b"[]," * MAX_PARTS + b"0]}",
        b'{"a":[' + b'{"b":[]},' * (MAX_PARTS // 3) + b"0]}",
        b"{" + b'"a":0,' * MAX_PARTS + b'"a":0}',
        b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b"{" + b'"a":0,' * MAX_FIELDS + b'"a":0}',
    ],
)
def test_too_much_of_it_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidValue, match="allowed are at most"):
        parse_object(body)


def test_text_and_numbers_are_no_structure() -> None:
    text = '[{:"\\' * 300_000
    fields = {str(number): number for number in range(MAX_FIELDS + 1)}
    body = {
        "text": text,
        "inner": fields,
        "ids": list(range(200_000)),
        "nested": [[["]" * 500]]] * 500,
    }
    assert parse_object(msgspec.json.encode(body)) == body


def test_what_can_be_read_can_be_written() -> None:
    deep = b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert json.dumps(parse_object(deep)).replace(" ", "").encode() == deep
