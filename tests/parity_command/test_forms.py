"""What engines, streams and APIs say otherwise is found, explained, or called a difference."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from parity.comparison import compare
from parity.findings import Finding, Verdict, answer
from parity.parts import NUM_FORMS, Part
from parity.questions import questions_of
from parity.transcript import Reply
from tests.parity_command import made_answers as made
from tests.parity_command.made_up import SIZE, changed, transcript

CASES = tuple(NUM_FORMS)


def finding(part: Part, index: int, reply: Reply, *, shift: float = 0.0) -> Finding:
    """Where the right engine replies otherwise."""
    right = changed(transcript("right", shift=shift), part, index, reply)
    return next(each for each in compare(transcript(), right) if each.part is part)


def near(gap: float) -> Reply:
    """A chat's answer in which a token led by so little."""
    body = made.chat()
    token = body["choices"][0]["logprobs"]["content"][0]
    token["top_logprobs"] = [{"bytes": [at], "logprob": -0.7 - at * gap} for at in range(2)]
    return Reply(200, body)


def streamed(text: str) -> Reply:
    events = made.chat_events()
    events[0]["choices"][0]["delta"]["content"] = text
    return Reply(200, events)


def test_the_same_answers_are_counted() -> None:
    found = {each.part: each for each in compare(transcript(), transcript("right"))}
    assert found[Part.TOOLS].measured == "9 wishes"
    assert found[Part.TOOLS].agreement == "9 of 9 identical, 4 with calls"
    assert found[Part.THOUGHTS].agreement.endswith("0 with thoughts")
    assert found[Part.MESSAGES].agreement == "9 of 9 identical"


@pytest.mark.parametrize(
    ("gap", "shift", "verdict"),
    [
        (0.0005, 0.0, Verdict.ROUNDING),
        (0.05, 0.0, Verdict.DIFFERS),
        (0.05, 0.03, Verdict.FORMATS),
        (0.5, 0.03, Verdict.DIFFERS),
    ],
)
def test_where_a_stream_parts_from_its_chat_the_lead_decides(
    gap: float, shift: float, verdict: Verdict
) -> None:
    left, right = transcript(), transcript("right", shift=shift)
    left, right = (changed(each, Part.THOUGHTS, 0, near(gap)) for each in (left, right))
    right = changed(right, Part.THOUGHTS, 1, streamed("Lo"))
    found = next(each for each in compare(left, right) if each.part is Part.THOUGHTS)
    assert found.verdict is verdict
    assert found.agreement.startswith("8 of 9 identical")
    assert found.first is not None
    assert found.first.labels == ("right as a chat", "right in this form")
    assert (found.first.left, found.first.right) == ("Paris. [stop]", "Loris. [stop]")


def test_many_ties_are_no_ties() -> None:
    left, right = transcript(), transcript("right")
    for index in (0, 2, 4):
        left, right = (changed(each, Part.THOUGHTS, index, near(0.0005)) for each in (left, right))
        right = changed(right, Part.THOUGHTS, index + 1, streamed("Lo"))
    found = next(each for each in compare(left, right) if each.part is Part.THOUGHTS)
    assert found.verdict is Verdict.DIFFERS


def test_chats_that_part_are_judged_by_their_tokens() -> None:
    other = made.chat()
    other["choices"][0]["message"]["content"] = "Lima."
    other["choices"][0]["logprobs"]["content"][0]["bytes"] = [1]
    found = finding(Part.RESPONSES, 0, Reply(200, other))
    assert found.verdict is Verdict.DIFFERS
    assert found.first is not None
    assert "no tie" in found.first.why


def _fewer(body: Any) -> Any:
    return {**body, "usage": {**body["usage"], "output_tokens": 2}}


def _renamed(body: Any) -> Any:
    return {**body, "more": None}


def _without_stop(events: Any) -> Any:
    return events[:-1]


def _counted_less(body: Any) -> Any:
    return {"input_tokens": body["input_tokens"] - 1}


@pytest.mark.parametrize(
    ("part", "index", "change", "why"),
    [
        (Part.RESPONSES, 1, _fewer, "no token of the chat"),
        (Part.MESSAGES, 1, _fewer, "no token of the chat"),
        (Part.MESSAGES, 3, _counted_less, "no token of the chat"),
        (Part.RESPONSES, 1, _renamed, "another body"),
        (Part.MESSAGES, 2, _without_stop, "another body"),
        (Part.TOOLS, 0, _renamed, "another body"),
    ],
)
def test_no_lead_explains_other_counts_bodies_and_events(
    part: Part, index: int, change: Callable[[Any], Any], why: str
) -> None:
    reply = transcript().parts[part][index]
    found = finding(part, index, Reply(200, change(reply.body)))
    assert found.verdict is Verdict.DIFFERS
    assert found.first is not None
    assert why in found.first.why


@pytest.mark.parametrize("part", CASES)
@pytest.mark.parametrize("index", [0, 1])
def test_an_error_instead_of_an_answer_differs(part: Part, index: int) -> None:
    reply = Reply(500, {"error": {"message": "broken"}})
    for shift in (0.0, 3.0):
        found = finding(part, index, reply, shift=shift)
        assert found.verdict is Verdict.DIFFERS
        assert found.first is not None
        assert "error" in found.first.why


def test_ids_and_what_was_reused_are_left_out() -> None:
    response = {**made.response(), "id": "resp_1", "created_at": 5}
    assert finding(Part.RESPONSES, 1, Reply(200, response)).verdict is Verdict.SAME
    usage = {"input_tokens": 2, "cache_read_input_tokens": 7, "output_tokens": 3}
    events = made.message_events()
    events[4]["usage"] = usage
    assert finding(Part.MESSAGES, 2, Reply(200, events)).verdict is Verdict.SAME


def _first(part: Part, field: str, value: Any) -> int:
    """The first question of a kind."""
    asked = questions_of(part, SIZE)
    return next(at for at, each in enumerate(asked) if each.body.get(field) == value)


def _calls(*calls: tuple[str, str]) -> Reply:
    body = made.chat("get_weather")
    body["choices"][0]["message"]["tool_calls"] = [
        {"function": {"name": name, "arguments": arguments}} for name, arguments in calls
    ]
    return Reply(200, body)


NAMED = {"type": "function", "function": {"name": "add"}}


@pytest.mark.parametrize(
    ("field", "value", "reply", "why"),
    [
        ("tool_choice", "required", Reply(200, made.chat()), "no call"),
        ("tool_choice", "none", _calls(("get_weather", made.ASKED)), "none were to come"),
        ("tool_choice", NAMED, _calls(("get_weather", made.ASKED)), "another tool"),
        ("tool_choice", NAMED, _calls(("add", '{"a": 1}')), "does not accept"),
        ("tool_choice", "required", _calls(("add", "{")), "does not accept"),
        ("tool_choice", "required", _calls(("fly", "{}")), "no tool"),
        (
            *("parallel_tool_calls", False),
            _calls(("add", made.ADDED), ("get_weather", made.ASKED)),
            "several calls",
        ),
    ],
)
def test_promises_about_calls_are_held(field: str, value: Any, reply: Reply, why: str) -> None:
    index = _first(Part.TOOLS, field, value)
    left = changed(transcript(), Part.TOOLS, index, reply)
    right = changed(transcript("right"), Part.TOOLS, index, reply)
    found = next(each for each in compare(left, right) if each.part is Part.TOOLS)
    assert found.verdict is Verdict.DIFFERS
    assert found.first is not None
    assert why in found.first.right


def test_budgets_of_thoughts_are_held() -> None:
    index = _first(Part.THOUGHTS, "thinking_token_budget", 5)
    for thought, verdict in ((5, Verdict.SAME), (8, Verdict.SAME), (9, Verdict.DIFFERS)):
        body = made.chat()
        body["usage"] = {**made.USAGE, "completion_tokens_details": {"reasoning_tokens": thought}}
        both = [
            changed(transcript(label), Part.THOUGHTS, index, Reply(200, body))
            for label in ("left", "right")
        ]
        found = next(each for each in compare(*both) if each.part is Part.THOUGHTS)
        assert found.verdict is verdict, thought


@pytest.mark.parametrize("status", [404, 405])
def test_what_neither_serves_is_said_and_changes_no_answer(status: int) -> None:
    gone = Reply(status, {"text": "Not Found"})
    asked = questions_of(Part.MESSAGES, SIZE)
    without = [
        gone if question.path.startswith("/v1/messages") else reply
        for question, reply in zip(asked, transcript().parts[Part.MESSAGES], strict=True)
    ]
    left, right = (
        replace(each, parts={**each.parts, Part.MESSAGES: without})
        for each in (transcript(), transcript("right"))
    )
    findings = compare(left, right)
    found = next(each for each in findings if each.part is Part.MESSAGES)
    assert found.verdict is Verdict.NOT_SERVED
    assert "not served by left: /v1/messages, /v1/messages/count_tokens" in found.agreement
    assert answer(findings).may_switch
    assert answer(findings).words.endswith("neither engine serves Messages API")
    findings = compare(left, transcript("right"))
    found = next(each for each in findings if each.part is Part.MESSAGES)
    assert found.verdict is Verdict.DIFFERS
    assert "not served by right" not in found.agreement
    assert not answer(findings).may_switch
