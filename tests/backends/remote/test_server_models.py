"""How lists of models are read, whoever wrote them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.remote.server_models import LONGEST_NAME, MOST_MODELS, read_models
from tests.backends.remote.documents import listing


def names(body: bytes) -> list[str]:
    return [model.name for model in read_models(body).models]


def test_an_entry_is_a_name_and_what_else_it_says() -> None:
    read = read_models(listing("org/m", max_model_len=4096, owned_by="vllm"))
    assert [(model.name, model.facts) for model in read.models] == [
        ("org/m", {"max_model_len": 4096, "owned_by": "vllm"})
    ]
    assert read.skipped == ""


def test_an_empty_list_is_one() -> None:
    assert read_models(b'{"data": []}').models == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b'{"data": {}}',
        b'{"data": null}',
        b'{"data": [}',
        b'{"data": [{"id": NaN}]}',
        b'{"data": "' + b"\xff" + b'"}',
        b"<html>",
        b'{"data": [{"id": "a"}, {"id": "\\ud800"}]}',
        b'{"data": [{"id": "a", "x": Infinity}]}',
        b'{"data": [{"id": "a", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}]}",
        b"[" * 100_000,
        b'{"data": ' + b"[" * 100_000,
        b'{"data": [' + b"1," * 600_000 + b"1]}",
    ],
    ids=range(17),
)
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="list of models"):
        read_models(body)


@pytest.mark.parametrize(
    "entry",
    [
        b"1",
        b"null",
        b"[]",
        b"{}",
        b'{"id": 1}',
        b'{"id": null}',
        b'{"id": ""}',
        b'{"id": " a"}',
        b'{"id": "a\\u0000"}',
        b'{"id": "a\\n"}',
        b'{"id": "a\\u001b[31m"}',
        b'{"id": "a\\u202e"}',
        b'{"id": "a\\u2028"}',
        b'{"id": ["a"]}',
        b'{"id": "' + b"a" * (LONGEST_NAME + 1) + b'"}',
        b'{"id": "a", "x": ' + b"[" * 20 + b"]" * 20 + b"}",
        b'{"id": "a", "x": "' + b"y" * 70_000 + b'"}',
    ],
    ids=range(17),
)
def test_a_strange_entry_is_left_out_and_told_of(entry: bytes) -> None:
    body = b'{"data": [{"id": "first"}, ' + entry + b', {"id": "last"}]}'
    read = read_models(body)
    assert [model.name for model in read.models] == ["first", "last"]
    assert read.skipped.startswith("1 left out, the first for ")
    assert read.skipped.isprintable()


def test_the_first_of_two_entries_with_one_name_counts() -> None:
    body = b'{"data": [{"id": "a", "n": 1}, {"id": "b"}, {"id": "a", "n": 2}]}'
    assert [(m.name, dict(m.facts)) for m in read_models(body).models] == [
        ("a", {"n": 1}),
        ("b", {}),
    ]


@pytest.mark.timeout(60)
def test_a_list_without_end_is_cut() -> None:
    read = read_models(listing(*(f"m{number}" for number in range(MOST_MODELS + 5))))
    assert len(read.models) == MOST_MODELS
    assert read.skipped.startswith("5 left out")


def test_names_may_hold_slashes_and_any_letters() -> None:
    given_names = ["a/b/c", "vllm://x", "Qwen/Qwen3:free", "模型", "naïve name"]
    assert names(listing(*given_names)) == given_names


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab\n\0ä"),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "x"]), inner),
)


@given(_json)
def test_any_entry_is_a_model_or_left_out(entry: Any) -> None:
    body = msgspec.json.encode({"data": [entry, {"id": "last"}]})
    read = read_models(body)
    assert read.models[-1].name == "last"
    assert len(read.models) == 2 or read.skipped or entry["id"] == "last"


@given(st.binary())
def test_any_bytes_are_a_list_or_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="list of models"):
        read_models(body)
