"""A body that is wrong a million times is refused for its first fault alone."""

from typing import Any

import pytest
from pydantic import ValidationError

from api.ignored import HEADER, ignored_header
from api.schemas.chat import ChatRequest
from api.schemas.chat import read_chat as read_chat_body
from api.schemas.validation import UnknownFields, path_of, shown
from core.errors import InvalidValue

HI = {"role": "user", "content": "hi"}
MANY = 200_000
KEYS = {f"k{i}": i for i in range(MANY)}


def read_chat(body: dict[str, Any]) -> ChatRequest:
    return read_chat_body(body, UnknownFields(are_refused=True))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [{}] * MANY}, "messages"),
        ({"messages": [{"role": "user", "content": [1] * MANY}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "tool_calls": [1] * MANY}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "user", "content": "hi", **KEYS}]}, "messages[0].k0"),
        ({"messages": [HI], **KEYS}, "k0"),
        ({"messages": [HI], "metadata": KEYS}, "metadata"),
        ({"messages": [HI], "stop": [1] * MANY}, "stop"),
        ({"messages": [HI], "stream_options": KEYS}, "stream_options"),
        ({"messages": [HI], "logit_bias": KEYS}, "logit_bias"),
        ({"messages": [HI], "bad_words": [1] * MANY}, "bad_words"),
        ({"messages": [HI], "stop_token_ids": [-1] * MANY}, "stop_token_ids"),
        ({"messages": [HI], "allowed_token_ids": ["1"] * MANY}, "allowed_token_ids"),
    ],
)
def test_one_fault_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        read_chat(body)
    assert str(refusal.value.param).startswith(param)
    assert len(str(refusal.value)) < 300
    described = refusal.value.__context__
    assert not isinstance(described, ValidationError) or described.error_count() == 1


@pytest.mark.parametrize(
    ("content", "param"),
    [
        (5, "messages[0].content"),
        (["x"], "messages[0].content[0]"),
        ([{"type": "text"}], "messages[0].content[0]"),
        ([{"type": "text", "text": 5}], "messages[0].content[0]"),
        ([{"type": "text", "text": "a"}, {"text": "b"}], "messages[0].content[1]"),
    ],
)
def test_content_is_named_as_the_client_wrote_it(content: Any, param: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        read_chat({"messages": [{"role": "user", "content": content}]})
    assert refusal.value.param == param


def test_text_parts_are_joined_by_line_breaks() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = read_chat({"messages": [{"role": "user", "content": parts}]})
    assert request.conversation.messages[0].content == "a\nb"


def test_limits_are_told_in_full_and_in_our_words() -> None:
    with pytest.raises(InvalidValue, match="at most 2147483647"):
        read_chat({"messages": [HI], "max_tokens": 2**40})
    call = {"type": "x", "function": {"name": "f", "arguments": "{}"}}
    with pytest.raises(InvalidValue, match='allowed is "function"'):
        read_chat({"messages": [{"role": "assistant", "tool_calls": [call]}]})


def test_a_long_name_is_shortened() -> None:
    assert len(path_of(("k" * 100_000,))) < 200


def test_a_value_that_nests_too_deep_to_be_written_is_refused_all_the_same() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(InvalidValue, match=r"user is \[{80}…; allowed is a string"):
        read_chat({"messages": [HI], "user": nested})


def test_of_a_million_ignored_fields_the_first_are_named() -> None:
    unknown = UnknownFields(are_refused=False)
    message = {**HI, "a, b\r\nx-evil: 1": 1}
    assert read_chat_body({"messages": [message], **KEYS}, unknown).messages[0].content == "hi"
    header = ignored_header(unknown)[HEADER]
    assert header.startswith("messages[0].a%2C%20b%0D%0Ax-evil%3A%201, k0, k1, ")
    assert header.endswith(f", and {MANY + 1 - 50} more")
    assert len(header) < 1000


def test_nothing_ignored_needs_no_header() -> None:
    unknown = UnknownFields(are_refused=False)
    read_chat_body({"messages": [HI]}, unknown)
    assert ignored_header(unknown) == {}


def test_of_a_large_value_no_more_is_written_than_is_shown() -> None:
    assert shown([[]] * 1_000_000) == "[" + "[], " * 19 + "[],…"
    assert shown("a" * 16_000_000) == '"' + "a" * 79 + "…"
    assert shown({"a": "\U0001f600\n"}) == '{"a": "\U0001f600\\n"}'


def test_numbers_of_any_size_are_refused_and_not_converted() -> None:
    for bias in (10**400, -(10**400), float("nan"), 101):
        with pytest.raises(InvalidValue) as refusal:
            read_chat({"messages": [HI], "logit_bias": {"97": bias}})
        assert refusal.value.param == "logit_bias"


@pytest.mark.parametrize("metadata", [{"a": "x" * 513}, {"a" * 65: "x"}])
def test_metadata_is_as_short_as_openai_has_it(metadata: dict[str, str]) -> None:
    with pytest.raises(InvalidValue, match="512 characters, by names of at most 64"):
        read_chat({"messages": [HI], "metadata": metadata})
