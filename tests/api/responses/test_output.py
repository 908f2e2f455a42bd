"""What a generation's events become: items, and OpenAI's events in OpenAI's order."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import EngineFailed
from core.events import (
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from core.scores import ScoredToken
from tests.api.responses.folding import CUT, END, folded, streamed
from tests.api.responses.strictly import check_response

Batches = list[list[GenerationEvent]]
SCORE = ScoredToken(97, -0.5, 1, ((97, -0.5), (98, -1.5)))
ALL: tuple[GenerationEvent, ...] = (
    ReasoningDelta("I th"),
    ReasoningDelta("ink"),
    TextDelta("Let me "),
    TextDelta("look."),
    ToolCallStarted(0, "call_a", "weather"),
    ToolCallDelta(0, '{"city":'),
    ToolCallDelta(0, '"Rom"}'),
    ToolCallStarted(1, "call_b", "time"),
    ToolCallDelta(1, "{}"),
    END,
)


def kinds(events: Sequence[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def rebuilt(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output as a client that reads deltas puts it together."""
    items: dict[int, dict[str, Any]] = {}
    texts: dict[int, str] = {}
    for event in events:
        index = event.get("output_index", -1)
        match event["type"].removeprefix("response."):
            case "output_item.added":
                assert index == len(items)
                items[index] = event["item"]
                texts[index] = ""
            case "output_text.delta" | "reasoning_text.delta" | "function_call_arguments.delta":
                assert event["item_id"] == items[index]["id"]
                texts[index] += event["delta"]
            case "output_item.done":
                assert event["item"]["id"] == items[index]["id"]
                items[index] = event["item"]
    for index, item in items.items():
        shown = item["arguments"] if "arguments" in item else item["content"][0]["text"]
        assert shown == texts[index]
    return list(items.values())


def plain(output: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in item.items() if name != "id"} for item in output]


def test_a_text_is_told_in_openais_order() -> None:
    events = streamed([[TextDelta("Hel")], [TextDelta("lo"), END]])
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    created, in_progress, added, part = events[:4]
    assert created["response"] == in_progress["response"]
    assert (created["response"]["status"], created["response"]["output"]) == ("in_progress", [])
    assert created["response"]["usage"] is None
    assert (added["item"]["status"], added["item"]["content"]) == ("in_progress", [])
    assert part["part"] == {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    assert [event["delta"] for event in events[4:6]] == ["Hel", "lo"]
    assert events[4]["logprobs"] == []
    assert events[6]["text"] == events[7]["part"]["text"] == "Hello"
    response = events[-1]["response"]
    assert response["output"] == [events[8]["item"]]
    assert response["output"][0]["status"] == "completed"
    assert response["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 12,
    }


def test_thoughts_text_and_calls_are_items_one_after_another() -> None:
    events = streamed([[event] for event in ALL])
    assert kinds(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message", *["function_call"] * 2]
    assert output[0]["content"] == [{"type": "reasoning_text", "text": "I think"}]
    assert output[0]["summary"] == []
    assert (output[2]["call_id"], output[2]["name"]) == ("call_a", "weather")
    assert output[2]["arguments"] == '{"city":"Rom"}'
    assert output[3]["arguments"] == "{}"
    assert {item["status"] for item in output} == {"completed"}
    assert len({item["id"] for item in output}) == len(output)
    assert rebuilt(events) == output


@pytest.mark.parametrize(
    "events",
    [ALL, ALL[:2] + ALL[-1:], ALL[2:4] + ALL[-1:], ALL[4:], ALL[-1:], (*ALL[:-1], CUT)],
)
def test_a_plain_response_and_a_stream_say_the_same(events: Sequence[GenerationEvent]) -> None:
    body = folded(events)
    told = streamed([events])
    check_response(body)
    assert plain(body["output"]) == plain(told[-1]["response"]["output"]) == plain(rebuilt(told))
    assert (body["status"], body["usage"]) == tuple(
        told[-1]["response"][name] for name in ("status", "usage")
    )


PARTS = st.one_of(
    st.builds(ReasoningDelta, st.text(max_size=3)),
    st.builds(TextDelta, st.text(max_size=3)),
    st.builds(ToolCallStarted, st.just(0), st.just("call"), st.just("f")),
)


@given(st.lists(PARTS, max_size=12), st.booleans(), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_any_events_in_any_batches_give_one_whole_output(
    parts: list[GenerationEvent], is_cut: bool, size: int
) -> None:
    events = [*parts, CUT if is_cut else END]
    batches = [events[start : start + size] for start in range(0, len(events), size)]
    told = streamed(batches)
    assert rebuilt(told) == told[-1]["response"]["output"]
    assert plain(told[-1]["response"]["output"]) == plain(folded(events)["output"])
    texts = "".join(part.text for part in parts if isinstance(part, TextDelta))
    assert texts == "".join(
        item["content"][0]["text"]
        for item in told[-1]["response"]["output"]
        if item["type"] == "message"
    )


def test_an_answer_that_is_cut_is_incomplete_and_says_why() -> None:
    events = streamed([[TextDelta("a"), CUT]])
    assert kinds(events)[-4:] == [
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "incomplete",
    ]
    response = events[-1]["response"]
    assert response["status"] == response["output"][0]["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["completed_at"] is None


def test_thoughts_that_are_cut_need_no_message() -> None:
    response = folded([ReasoningDelta("hm"), CUT])
    assert [(i["type"], i["status"]) for i in response["output"]] == [("reasoning", "incomplete")]


@pytest.mark.parametrize("events", [[END], [TextDelta(""), END], [ReasoningDelta("hm"), END]])
def test_an_answer_that_says_nothing_is_an_empty_message(events: list[GenerationEvent]) -> None:
    last = folded(events)["output"][-1]
    assert last["content"] == [
        {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    ]
    assert kinds(streamed([events]))[-5:-1] == [
        "content_part.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]


def test_a_failure_in_the_middle_is_the_last_event() -> None:
    events = streamed([[TextDelta("Hel")]], error=EngineFailed("the engine died"))
    assert kinds(events)[-2:] == ["output_text.delta", "failed"]
    response = events[-1]["response"]
    assert response["error"] == {"code": "server_error", "message": "the engine died"}
    assert (response["status"], response["usage"]) == ("failed", None)
    assert response["output"][0]["status"] == "incomplete"
    assert response["output"][0]["content"][0]["text"] == "Hel"


def test_scores_stand_in_deltas_and_whole_in_the_item() -> None:
    parts: Batches = [
        [TextDelta("", (SCORE,))],
        [TextDelta("aa", (SCORE,))],
        [TextDelta("", (SCORE,)), END],
    ]
    events = streamed(parts, num_top=1)
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    top = [{"token": "a", "logprob": -0.5}]
    shown = {"token": "a", "logprob": -0.5, "top_logprobs": top}
    assert [delta["logprobs"] for delta in deltas] == [[shown, shown], [shown]]
    part = events[-1]["response"]["output"][0]["content"][0]
    assert [score["bytes"] for score in part["logprobs"]] == [[97]] * 3
    assert [len(score["top_logprobs"]) for score in part["logprobs"]] == [1] * 3


def test_scores_that_nobody_asked_for_are_not_shown() -> None:
    part = folded([TextDelta("a", (SCORE,)), END])["output"][0]["content"][0]
    assert part["logprobs"] == []
