"""Whatever chunks another server sends, they become ordered events with one end, or a failure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UpstreamFailed, UpstreamFault
from core.events import (
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from core.tool_choice import ToolChoice, ToolMode
from serving.remote.chat_events import MAX_CALLS
from serving.remote.part_order import MAX_HELD_CHARACTERS
from tests.serving.remote.chunk_bodies import STOP, call, delta, finish, read, usage


def end_of(events: list[GenerationEvent]) -> GenerationEnd:
    assert isinstance(events[-1], GenerationEnd)
    assert not any(isinstance(event, GenerationEnd) for event in events[:-1])
    return events[-1]


def test_text_and_thoughts_come_as_they_are_sent() -> None:
    chunks = [
        delta(role="assistant", content=""),
        delta(reasoning_content="hm", reasoning="hm"),
        delta(reasoning=" well", content=None),
        delta(content="He"),
        delta(content="llo"),
        STOP,
        usage(
            7,
            5,
            prompt_tokens_details={"cached_tokens": 4},
            completion_tokens_details={"reasoning_tokens": 3},
        ),
    ]
    assert read(chunks) == [
        ReasoningDelta("hm"),
        ReasoningDelta(" well"),
        TextDelta("He"),
        TextDelta("llo"),
        GenerationEnd(FinishReason.STOP, 7, 5, 4, 3),
    ]


def test_a_whole_body_becomes_the_same_events() -> None:
    message = {
        "role": "assistant",
        "content": "See",
        "reasoning": "hm",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "f", "arguments": "[1"}},
        ],
    }
    body = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 9, "prompt_tokens_details": None},
    }
    assert read([body]) == [
        ReasoningDelta("hm"),
        TextDelta("See"),
        ToolCallStarted(0, "a", "f"),
        ToolCallDelta(0, "{}"),
        ToolCallStarted(1, "b", "f"),
        ToolCallDelta(1, "[1"),
        GenerationEnd(FinishReason.TOOL_CALLS, 3, 9),
    ]


def test_a_plain_completion_is_text() -> None:
    chunks = [
        {"choices": [{"index": 0, "text": "a", "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]},
    ]
    assert read(chunks) == [TextDelta("a"), GenerationEnd(FinishReason.LENGTH, 0, 1)]


def test_without_usage_the_chunks_that_hold_a_part_are_counted() -> None:
    events = read([delta(content=""), delta(content="a"), delta(refusal="no"), STOP])
    assert end_of(events) == GenerationEnd(FinishReason.STOP, 0, 2)


def test_a_call_is_told_while_its_arguments_come() -> None:
    chunks = [call(0, id="a", name="f"), call(0, '{"x"'), call(0, ": 1}"), finish("tool_calls")]
    assert read(chunks)[:-1] == [
        ToolCallStarted(0, "a", "f"),
        ToolCallDelta(0, '{"x"'),
        ToolCallDelta(0, ": 1}"),
    ]


def test_what_a_server_repeats_of_a_call_is_told_once() -> None:
    both = call(0, '{"x":', id="a", name="f")
    both["choices"][0]["delta"]["function_call"] = {"name": "f", "arguments": '{"x":'}
    chunks = [both, call(0, "1}", id="a", name="f"), STOP]
    assert read(chunks) == [
        ToolCallStarted(0, "a", "f"),
        ToolCallDelta(0, '{"x":'),
        ToolCallDelta(0, "1}"),
        GenerationEnd(FinishReason.TOOL_CALLS, 0, 2),
    ]


def test_a_call_by_its_old_name_is_a_call() -> None:
    chunks = [
        delta(function_call={"name": "f", "arguments": ""}),
        delta(function_call={"arguments": "{}"}),
        finish("function_call"),
    ]
    started, arguments, end = read(chunks)
    assert isinstance(started, ToolCallStarted)
    assert started.id.startswith("call_")
    assert arguments == ToolCallDelta(0, "{}")
    assert end == GenerationEnd(FinishReason.TOOL_CALLS, 0, 2)


def test_calls_that_come_by_turns_are_told_one_after_the_other() -> None:
    chunks = [
        call(3, '{"a"', id="a", name="f"),
        call(1, "{", id="b", name="g"),
        delta(content="and"),
        call(3, ": [1]"),
        call(1, "}"),
        call(3, "}"),
        call(1, " "),
        finish("tool_calls"),
    ]
    assert read(chunks)[:-1] == [
        ToolCallStarted(0, "a", "f"),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ": [1]"),
        ToolCallDelta(0, "}"),
        ToolCallStarted(1, "b", "g"),
        ToolCallDelta(1, "{}"),
        TextDelta("and"),
    ]


def test_arguments_wait_for_the_name() -> None:
    chunks = [call(0, '{"x"'), call(0, ":1}", id="late", name="f"), STOP]
    started, arguments, _ = read(chunks)
    assert isinstance(started, ToolCallStarted)
    assert (started.index, started.name) == (0, "f")
    assert arguments == ToolCallDelta(0, '{"x":1}')


@pytest.mark.parametrize("index", [0, None])
def test_calls_that_share_a_number_are_told_apart_by_their_ids(index: int | None) -> None:
    chunks = [call(index, "{}", id="a", name="f"), call(index, "{}", id="b", name="f"), STOP]
    calls = [event for event in read(chunks) if isinstance(event, ToolCallStarted)]
    assert [(each.index, each.id) for each in calls] == [(0, "a"), (1, "b")]


def test_calls_without_number_and_id_are_told_apart_by_their_names() -> None:
    chunks = [call(None, "{", name="f"), call(None, "}"), call(None, "{}", name="f"), STOP]
    events = read(chunks)
    ids = [event.id for event in events if isinstance(event, ToolCallStarted)]
    assert len(set(ids)) == 2
    told = [event for event in events if isinstance(event, ToolCallDelta)]
    assert told == [ToolCallDelta(0, "{"), ToolCallDelta(0, "}"), ToolCallDelta(1, "{}")]


@pytest.mark.parametrize(
    ("reason", "finish_reason"),
    [
        ("stop", FinishReason.STOP),
        ("eos_token", FinishReason.STOP),
        ("tool_calls", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
    ],
)
def test_finish_reasons_are_mapped(reason: str, finish_reason: FinishReason) -> None:
    assert end_of(read([delta(content="a"), finish(reason)])).finish_reason is finish_reason


def test_a_call_that_was_cut_off_ends_by_length() -> None:
    assert end_of(read([call(0, "{", name="f"), finish("length")])).finish_reason == "length"


def test_the_first_finish_reason_holds() -> None:
    chunks = [delta(content="a"), finish("length"), finish("stop"), delta(content="")]
    assert end_of(read(chunks)).finish_reason is FinishReason.LENGTH


def test_the_stop_string_is_told_where_the_server_tells_it() -> None:
    chunks = [delta(content="a"), finish("stop", stop_reason="END")]
    assert end_of(read(chunks, stop=("END",))).stop == "END"
    assert end_of(read(chunks, stop=("other",))).stop is None
    assert end_of(read([finish("stop", stop_reason=7)], stop=("END",))).stop is None


LONG = "x" * (MAX_HELD_CHARACTERS // 2)


def test_an_id_that_comes_after_the_name_is_of_the_same_call() -> None:
    chunks = [call(0, "", name="f"), call(0, "{}", id="late", name="f"), STOP]
    events = read(chunks)
    assert len(events) == 3
    assert isinstance(events[0], ToolCallStarted)
    assert events[0].id.startswith("call_")


HOSTILE: dict[str, list[Any]] = {
    "no JSON": [b"{", STOP],
    "no object": [[1], STOP],
    "no UTF-8": [b'{"choices": [{"delta": {"content": "\xff"}}]}', STOP],
    "half a surrogate pair": [b'{"choices": [{"delta": {"content": "\\ud83d"}}]}', STOP],
    "deep": [b'{"object": ' + b"[" * 100_000, STOP],
    "text of a wrong type": [delta(content=["a"]), STOP],
    "arguments of a wrong type": [delta(tool_calls=[{"function": {"arguments": {}}}]), STOP],
    "a negative count": [delta(content="a"), STOP, usage(-1, 1)],
    "another choice": [{"choices": [{"index": 1, "delta": {"content": "a"}}]}, STOP],
    "an error": [delta(content="a"), {"error": {"message": "out of memory"}}],
    "an error of old": [{"object": "error", "message": "out of memory"}, STOP],
    "no reason": [delta(content="a"), finish(None)],
    "nothing": [],
    "a filter": [delta(content="a"), finish("content_filter")],
    "an unknown reason": [delta(content="a"), finish("whatever")],
    "text behind the end": [STOP, delta(content="a")],
    "a call behind the end": [STOP, call(0, "", name="f")],
    "no name": [call(0, "{}", id="a"), STOP],
    "another name": [call(0, "{", name="f"), call(0, "}", name="g"), STOP],
    "more arguments": [call(0, "{}", name="f"), call(1, "{}", name="g"), call(0, "x"), STOP],
    "a long name": [call(0, "{}", name="f" * 2000), STOP],
    "many calls": [*(call(i, "{}", name="f") for i in range(MAX_CALLS + 1)), STOP],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_answer_fails(name: str) -> None:
    with pytest.raises(UpstreamFailed, match="upstream far") as failed:
        read(HOSTILE[name])
    assert failed.value.failure.fault is UpstreamFault.BROKEN
    assert failed.value.failure.upstream == "far"


def test_the_servers_own_words_of_an_error_are_kept() -> None:
    with pytest.raises(UpstreamFailed) as failed:
        read([{"error": {"message": "out of memory"}}])
    assert failed.value.failure.body == b'{"error": {"message": "out of memory"}}'


def test_what_the_choice_of_tools_demands_is_checked() -> None:
    forced = ToolChoice(ToolMode.REQUIRED)
    with pytest.raises(UpstreamFailed, match="no tool"):
        read([delta(content="a"), STOP], choice=forced)
    assert end_of(read([delta(content="a"), finish("length")], choice=forced))
    single = ToolChoice(is_parallel=False)
    two = [call(0, "{}", name="f"), call(1, "{}", name="f"), STOP]
    with pytest.raises(UpstreamFailed, match="several tools"):
        read(two, choice=single)
    assert len(read(two)) == 5


@pytest.mark.parametrize(
    "chunks",
    [
        [call(0, "{", name="f"), *(delta(content=LONG) for _ in range(3))],
        [call(0, "{", name="f"), *(call(1, LONG, name="g") for _ in range(3))],
        [call(0, LONG) for _ in range(3)],
    ],
)
def test_what_is_held_back_is_bounded(chunks: list[Any]) -> None:
    with pytest.raises(UpstreamFailed, match="out of order"):
        read([*chunks, STOP])


def test_a_long_answer_holds_nothing_back() -> None:
    """The bound is for what comes out of order."""
    pieces = [delta(content=LONG * 5), *(delta(content=LONG) for _ in range(4))]
    calls = [call(0, "{", name="f"), *(call(0, LONG) for _ in range(5)), call(0, "}")]
    assert len(read([*pieces, *calls, STOP])) == 14


NAMES = st.sampled_from([None, "", "f", "g"])
CALLS = st.builds(
    lambda index, call_id, name, arguments: (
        ({} if index is None else {"index": index})
        | {"id": call_id, "function": {"name": name, "arguments": arguments}}
    ),
    st.sampled_from([None, 0, 1, 5, -1]),
    st.sampled_from([None, "", "a", "b"]),
    NAMES,
    st.sampled_from([None, "", "{", "}", "{}", '"', " ", "x", '{"a": 1}']),
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": st.sampled_from([None, "", "a", "b c", "…"]),
        "reasoning": st.sampled_from([None, "", "hm"]),
        "reasoning_content": st.sampled_from([None, "hm"]),
        "tool_calls": st.one_of(st.none(), st.lists(CALLS, max_size=2)),
        "function_call": st.sampled_from([None, {"name": "f", "arguments": "{}"}]),
        "role": st.just("assistant"),
    },
)
REASONS = st.sampled_from([None] * 8 + ["stop", "length", "tool_calls", "content_filter"])
CHUNKS = st.one_of(
    st.builds(
        lambda part, reason: {"choices": [{"index": 0, "delta": part, "finish_reason": reason}]},
        DELTAS,
        REASONS,
    ),
    st.builds(usage, st.integers(0, 99), st.integers(0, 99)),
    st.sampled_from([{}, {"choices": None}, STOP]),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["choices", "delta", "content", "usage", "tool_calls", "index"]),
            inner,
            max_size=2,
        ),
    ),
    max_leaves=6,
)


@given(st.lists(CHUNKS, max_size=12))
def test_any_chunks_become_ordered_events_or_a_failure(chunks: list[Any]) -> None:
    try:
        events = read(chunks)
    except UpstreamFailed:
        return
    end_of(events)
    open_call, num_calls = None, 0
    for event in events[:-1]:
        match event:
            case ToolCallStarted(index, call_id, name):
                assert (index, bool(call_id), bool(name)) == (num_calls, True, True)
                open_call, num_calls = index, num_calls + 1
            case ToolCallDelta(index, arguments):
                assert index == open_call
                assert arguments
            case TextDelta(text) | ReasoningDelta(text):
                assert text
                open_call = None


@given(st.lists(CHUNKS, max_size=12))
def test_nothing_that_was_sent_is_lost(chunks: list[Any]) -> None:
    try:
        events = read(chunks)
    except UpstreamFailed:
        return
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices") or ()]
    said = "".join(event.text for event in events if isinstance(event, TextDelta))
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert said == "".join(each.get("content") or "" for each in deltas)
    assert thought == "".join(
        each.get("reasoning_content") or each.get("reasoning") or "" for each in deltas
    )
    told = sum(len(e.arguments.strip()) for e in events if isinstance(e, ToolCallDelta))
    sent = sum(_num_argued(each) for each in deltas)
    assert told == sent


def _num_argued(fields: dict[str, Any]) -> int:
    calls = fields.get("tool_calls")
    if calls is None:
        old = fields.get("function_call")
        return len(old["arguments"]) if old else 0
    return sum(len((each["function"]["arguments"] or "").strip()) for each in calls)


@given(st.lists(st.one_of(CHUNKS, JSON, st.binary(max_size=8)), max_size=6))
def test_anything_at_all_is_an_answer_or_a_failure(chunks: list[Any]) -> None:
    try:
        events = read(chunks)
    except UpstreamFailed:
        return
    end_of(events)
