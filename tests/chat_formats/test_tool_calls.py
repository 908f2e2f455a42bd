"""Calls are found in what models write, the same however it comes; what is no call stays text."""

import itertools
import json
import random
from collections.abc import Iterable

import pytest

from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.parsing import call_parser
from chat_formats.tool_calls.syntax import JSON_ANSWER, CallSyntax
from core.events import AnswerPart, TextDelta, ToolCallDelta, ToolCallStarted
from serving.utf8 import Utf8Stream
from tests.chat_formats.answers import CASES, NAMES, WELL_WRITTEN, Case

EVERY_SYNTAX = tuple(dict.fromkeys(case.syntax for case in CASES))


def parsed(syntax: CallSyntax, parts: Iterable[str]) -> list[AnswerPart]:
    numbers = itertools.count()
    parser = call_parser(syntax, NAMES, Emitter(lambda: f"call_{next(numbers)}"))
    found = [event for part in parts for event in parser.feed(part)]
    return found + parser.flush()


def folded(events: list[AnswerPart]) -> tuple[str, list[tuple[str, str]], list[str]]:
    """The text, the calls with their arguments, and their ids. Parts come in a sound order."""
    text: list[str] = []
    calls: list[tuple[str, str]] = []
    ids: list[str] = []
    for event in events:
        match event:
            case TextDelta(said):
                text.append(said)
            case ToolCallStarted(index, call_id, name):
                assert index == len(calls)
                calls.append((name, ""))
                ids.append(call_id)
            case ToolCallDelta(index, arguments):
                assert index == len(calls) - 1, "arguments belong to the call that began last"
                calls[index] = (calls[index][0], calls[index][1] + arguments)
    return "".join(text), calls, ids


@pytest.mark.parametrize("case", CASES)
def test_an_answer_holds_its_text_and_its_calls(case: Case) -> None:
    text, calls, ids = folded(parsed(case.syntax, [case.answer]))
    assert (text, tuple(calls)) == (case.text, case.calls)
    assert ids == [f"call_{number}" for number in range(len(calls))]


@pytest.mark.parametrize("case", WELL_WRITTEN)
def test_arguments_are_json(case: Case) -> None:
    for _, arguments in folded(parsed(case.syntax, [case.answer]))[1]:
        assert isinstance(json.loads(arguments), dict)


@pytest.mark.parametrize("case", CASES)
def test_an_answer_cut_at_any_byte_is_the_same(case: Case) -> None:
    whole = folded(parsed(case.syntax, [case.answer]))
    data = case.answer.encode()
    for place in range(len(data) + 1):
        stream = Utf8Stream()
        parts = [stream.feed(data[:place]), stream.feed(data[place:])]
        assert folded(parsed(case.syntax, parts)) == whole
    assert folded(parsed(case.syntax, case.answer)) == whole


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_shuffled_pieces_of_answers_are_read_the_same_however_they_are_cut(
    syntax: CallSyntax,
) -> None:
    draws = random.Random(5)
    pieces = [
        *(case.answer for case in CASES),
        *("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", "<|python_tag|>", "\n", " "),
        *("{", "}", "[", "]", "(", ")", '"', "'", ",", ":", ";", "\\", "🙂", "name", "f", "null"),
    ]
    for _ in range(400):
        answer = "".join(draws.choice(pieces) for _ in range(draws.randint(1, 6)))
        if draws.random() < 0.5:
            start = draws.randint(0, len(answer))
            answer = answer[start : draws.randint(start, len(answer))]
        cuts = sorted(draws.randint(0, len(answer)) for _ in range(4))
        parts = [answer[a:b] for a, b in itertools.pairwise([0, *cuts, len(answer)])]
        whole = folded(parsed(syntax, [answer]))
        assert folded(parsed(syntax, parts)) == whole
        assert folded(parsed(syntax, answer)) == whole
        is_unwrapped = syntax is JSON_ANSWER and answer.lstrip().startswith("{")
        assert whole[1] or whole[0] == answer or is_unwrapped, "an answer without calls is text"


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
@pytest.mark.parametrize(
    "unit",
    [
        *"{[(\"'\\ <a;",
        *("<tool_call>", '<tool_call>{"name": "', '<tool_call>{"arguments": {', '{"name": "f", '),
        *("[TOOL_CALLS]", "[TOOL_CALLS][", "[f(", "f(a=["),
    ],
)
def test_half_a_megabyte_of_anything_is_read_in_linear_time(syntax: CallSyntax, unit: str) -> None:
    """Quadratic work on it would take hours, and end by the limit that every test has."""
    answer = unit * ((1 << 19) // len(unit))
    text, calls, _ = folded(parsed(syntax, [answer]))
    assert text or calls
    chunks = [answer[at : at + 4096] for at in range(0, len(answer), 4096)]
    assert folded(parsed(syntax, chunks))[0] == text
