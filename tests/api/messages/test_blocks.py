"""Events as Anthropic's content blocks: plain and streamed alike, and nothing of them lost."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.messages.blocks import INVALID_JSON, BlockRules, input_of
from core.events import (
    FinishReason,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from tests.api.messages.made_up import end, told

CALLS = FinishReason.TOOL_CALLS


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def call(index: int, name: str, *arguments: str) -> list[GenerationEvent]:
    begun = ToolCallStarted(index, f"call_{index}", name)
    return [begun, *(ToolCallDelta(index, part) for part in arguments)]


def test_thoughts_text_and_calls_are_blocks_in_the_order_in_which_they_came() -> None:
    answer = told(
        ReasoningDelta("Hm"),
        ReasoningDelta("m."),
        TextDelta("I "),
        TextDelta("look."),
        *call(0, "look", '{"at": ', '"Grüße"}'),
        *call(1, "wait", "{}"),
        end(CALLS),
    )
    assert answer.plain["content"] == [
        {"type": "thinking", "signature": "", "thinking": "Hmm."},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "call_0", "name": "look", "input": {"at": "Grüße"}},
        {"type": "tool_use", "id": "call_1", "name": "wait", "input": {}},
    ]
    assert answer.plain["stop_reason"] == "tool_use"
    assert answer.streamed == answer.plain


def test_a_stream_begins_fills_and_ends_each_block_before_the_next() -> None:
    answer = told(TextDelta("a"), *call(0, "f", "{}"), TextDelta("b"), end(CALLS))
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert kinds(answer.events) == ["message_start", *(3 * block), "message_delta", "message_stop"]
    assert [e["index"] for e in answer.events if "index" in e] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_an_answer_without_anything_has_no_block() -> None:
    answer = told(TextDelta(""), end())
    assert answer.plain["content"] == []
    assert kinds(answer.events) == ["message_start", "message_delta", "message_stop"]


def test_two_calls_one_after_the_other_are_two_blocks() -> None:
    answer = told(*call(0, "f"), *call(1, "f", "", "{}"), end(CALLS))
    assert [block["input"] for block in answer.plain["content"]] == [{}, {}]
    assert answer.streamed == answer.plain


@pytest.mark.parametrize(
    ("finish", "fields", "reason", "sequence"),
    [
        (FinishReason.STOP, {}, "end_turn", None),
        (FinishReason.STOP, {"stop": "END"}, "stop_sequence", "END"),
        (FinishReason.LENGTH, {}, "max_tokens", None),
        (FinishReason.TOOL_CALLS, {}, "tool_use", None),
        (FinishReason.TOOL_CALLS, {"stop": "END"}, "tool_use", None),
    ],
)
def test_why_an_answer_ended_is_told(
    finish: FinishReason, fields: dict[str, Any], reason: str, sequence: str | None
) -> None:
    answer = told(TextDelta("a"), end(finish, **fields))
    assert answer.plain["stop_reason"] == reason
    assert answer.plain["stop_sequence"] == sequence
    assert answer.streamed == answer.plain


def test_an_answer_that_only_the_window_ends_says_so() -> None:
    answer = told(TextDelta("a"), end(FinishReason.LENGTH), fills_window=True)
    assert answer.plain["stop_reason"] == "model_context_window_exceeded"
    assert told(TextDelta("a"), end(), fills_window=True).plain["stop_reason"] == "end_turn"


def test_cached_tokens_are_counted_apart_and_thoughts_are_counted() -> None:
    answer = told(TextDelta("a"), end(num_cached_tokens=7, num_reasoning_tokens=2))
    assert answer.plain["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 7,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    assert answer.streamed["usage"] == answer.plain["usage"]
    assert answer.events[0]["message"]["usage"]["output_tokens"] == 0


def test_thoughts_that_are_not_wanted_leave_an_empty_block() -> None:
    answer = told(
        ReasoningDelta("Hmm."), TextDelta("a"), end(), rules=BlockRules(omits_thinking=True)
    )
    assert answer.plain["content"][0] == {"type": "thinking", "signature": "", "thinking": ""}
    assert answer.streamed == answer.plain
    assert "Hmm" not in str(answer.events)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", {}),
        (" \n", {}),
        ('{"a": 1}', {"a": 1}),
        (' {"a": 12345678901234567890123}', {"a": 12345678901234567890123}),
        ('{"a": 1, "b": "cut o', {"a": 1}),
        ("{", {}),
        ("[1]", {INVALID_JSON: "[1]"}),
        ("none", {INVALID_JSON: "none"}),
        ("{oops}", {INVALID_JSON: "{oops}"}),
        ('{"a": 1} and more', {INVALID_JSON: '{"a": 1} and more'}),
        ('{"a": NaN}', {INVALID_JSON: '{"a": NaN}'}),
        ("[" * 5000, {INVALID_JSON: "[" * 5000}),
    ],
)
def test_input_is_an_object_whatever_the_model_wrote(arguments: str, expected: Any) -> None:
    assert input_of(arguments) == expected


@pytest.mark.parametrize("arguments", [["[1", "]"], [" ", '"tex', 't"'], ["not json"]])
def test_input_that_can_be_no_object_is_one_in_the_stream_too(arguments: list[str]) -> None:
    answer = told(*call(0, "f", *arguments), end(CALLS))
    assert answer.plain["content"][0]["input"] == {INVALID_JSON: "".join(arguments)}
    assert answer.streamed == answer.plain


def test_white_space_before_input_is_left_out_of_the_stream() -> None:
    answer = told(*call(0, "f", " \n", ' {"a": ', "1}"), end(CALLS))
    pieces = [e["delta"] for e in answer.events if e["type"] == "content_block_delta"]
    assert [each["partial_json"] for each in pieces] == ['{"a": ', "1}"]
    assert answer.streamed == answer.plain


def test_input_comes_in_one_piece_where_the_tool_says_so() -> None:
    rules = BlockRules(unbroken=frozenset({"f"}))
    parts = ['{"a', '": 1, ', "oops}"]
    answer = told(*call(0, "f", *parts), *call(1, "g", "{", "}"), end(CALLS), rules=rules)
    deltas = [e for e in answer.events if e["type"] == "content_block_delta"]
    assert [each["index"] for each in deltas] == [0, 1, 1]
    assert answer.plain["content"][0]["input"] == {INVALID_JSON: "".join(parts)}
    assert answer.streamed == answer.plain


PARTS = st.one_of(
    st.text(max_size=4).map(TextDelta),
    st.text(max_size=4).map(ReasoningDelta),
    st.tuples(st.sampled_from("fgh"), st.dictionaries(st.text(max_size=3), st.integers())),
)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(PARTS, max_size=8), cut=st.integers(1, 9))
def test_a_stream_and_a_plain_body_say_the_same(parts: list[Any], cut: int) -> None:
    events: list[GenerationEvent] = []
    num_calls = 0
    for part in parts:
        if isinstance(part, tuple):
            text = json.dumps(part[1])
            pieces = [text[at : at + cut] for at in range(0, len(text), cut)]
            events += call(num_calls, part[0], *pieces)
            num_calls += 1
        else:
            events.append(part)
    answer = told(*events, end())
    assert answer.streamed == answer.plain
