"""Each kind of difference is found, judged, and shown in full."""

from dataclasses import replace
from typing import Any

import pytest

from parity.attribution import attribute
from parity.comparison import compare, filtered, score_distance
from parity.findings import Finding, Verdict, answer
from parity.parts import NUM_FORMS, Part
from parity.questions import questions_of
from parity.statistics import deviations, distance
from parity.transcript import Reply, Size, Transcript, TranscriptError
from tests.parity_command.made_up import TOKENS, changed, chat, made_reply, token, transcript


def finding(left: Transcript, right: Transcript, part: Part) -> Finding:
    return next(each for each in compare(left, right) if each.part is part)


def test_the_same_answers_are_the_same() -> None:
    findings = compare(transcript(), transcript("right"))
    assert [each.part for each in findings] == list(Part)
    assert {each.verdict for each in findings} == {Verdict.SAME}
    assert all(each.first is None for each in findings)
    assert answer(findings).may_switch
    assert answer(findings).words.startswith("yes")


@pytest.mark.parametrize(
    ("gap", "shift", "verdict"),
    [
        (0.0005, 0.0, Verdict.ROUNDING),
        (0.05, 0.0, Verdict.DIFFERS),
        (0.05, 0.03, Verdict.FORMATS),
        (0.5, 0.03, Verdict.DIFFERS),
    ],
)
def test_where_answers_part_the_lead_decides(gap: float, shift: float, verdict: Verdict) -> None:
    ours = chat(token("Par"), token("is", -0.7, **{"ma": -0.7 - gap}))
    theirs = chat(token("Par"), token("ma", -0.7, **{"is": -0.7 - gap}))
    num = 40
    left, right = (replace(each, size=Size(num, 8)) for each in (transcript(), transcript("r")))
    left, right = _grown(left, num), _grown(_grown(transcript("r", shift=shift), num), num)
    left, right = changed(left, Part.GREEDY, 1, ours), changed(right, Part.GREEDY, 1, theirs)
    found = finding(left, right, Part.GREEDY)
    assert found.verdict is verdict
    assert found.agreement == "39 of 40 identical"
    assert found.first is not None
    assert (found.first.at, found.first.left) == ("token 1", "Paris [stop]")


def test_many_ties_are_no_ties() -> None:
    right = transcript("right")
    for index in range(2):
        ours = token("Par", -0.7, **{"Lon": -0.7003})
        left = changed(transcript(), Part.GREEDY, index, chat(ours))
        right = changed(right, Part.GREEDY, index, chat(token("Lon", -0.7, **{"Par": -0.7003})))
    assert finding(left, right, Part.GREEDY).verdict is Verdict.DIFFERS


def test_an_answer_that_ends_earlier_is_judged_by_the_one_that_goes_on() -> None:
    short = chat(token("Par"))
    goes_on = chat(token("Par"), token("is", -0.7, **{"<|end|>": -4.0}))
    left = changed(transcript(), Part.GREEDY, 0, short)
    found = finding(left, changed(transcript("r"), Part.GREEDY, 0, goes_on), Part.GREEDY)
    assert found.verdict is Verdict.DIFFERS
    assert found.first is not None
    assert "3.3" in found.first.why


@pytest.mark.parametrize(
    ("part", "reply"),
    [
        (Part.RENDER, Reply(200, {"prompt": "p", "token_ids": [0, 1, 2]})),
        (Part.TOKENISE, Reply(200, {"count": 2, "tokens": [1, 3], "max_model_len": 9})),
        (Part.TOKENISE, Reply(500, {"error": {}})),
        (Part.STRUCTURED, chat(token('{"name": "Eve"}'))),
        (Part.STRUCTURED, Reply(500, {"error": {}})),
        (Part.EDGES, Reply(400, {"error": {"message": "other"}})),
        (Part.SCORES, Reply(200, {"choices": []})),
        (Part.GREEDY, Reply(500, {"error": {}})),
        (Part.SEEDED, chat(token("other"))),
    ],
)
def test_what_rounding_can_not_do_differs(part: Part, reply: Reply) -> None:
    findings = compare(transcript(), changed(transcript("right"), part, 0, reply))
    found = next(each for each in findings if each.part is part)
    assert found.verdict is Verdict.DIFFERS
    assert not answer(findings).may_switch
    assert found.title in answer(findings).words


def test_how_much_context_there_is_is_no_matter_of_tokens() -> None:
    (reply, *_), right = transcript().parts[Part.TOKENISE], transcript("right")
    other = Reply(200, {**reply.body, "max_model_len": 1})
    found = finding(transcript(), changed(right, Part.TOKENISE, 0, other), Part.TOKENISE)
    assert found.verdict is Verdict.SAME


@pytest.mark.parametrize("part", [Part.GREEDY, Part.SEEDED])
def test_one_error_among_many_answers_is_no_tie(part: Part) -> None:
    left, right = (_grown(transcript(label), 40) for label in ("left", "right"))
    found = finding(left, changed(right, part, 3, Reply(500, {"error": {}})), part)
    assert found.verdict is Verdict.DIFFERS
    assert found.first is not None
    assert "error" in found.first.why


def test_draws_from_another_distribution_differ() -> None:
    right = transcript("right")
    for index in range(1, 5):
        choices: list[Any] = [{"logprobs": {"tokens": ["b"]}}] * 64
        right = changed(right, Part.DRAWS, index, Reply(200, {"choices": choices}))
    assert finding(transcript(), right, Part.DRAWS).verdict is Verdict.DIFFERS


def test_filters_leave_what_the_definition_leaves() -> None:
    known = {"a": 0.5, "b": 0.3, "c": 0.15, "d": 0.04}
    assert filtered(known, {"temperature": 1.0}) == known
    assert list(filtered(known, {"temperature": 1.0, "min_p": 0.2})) == ["a", "b", "c"]
    assert filtered(known, {"temperature": 1.0, "top_k": 2}) == pytest.approx(
        {"a": 0.625, "b": 0.375}
    )
    kind = {"temperature": 1.0, "top_k": 3, "top_p": 0.6}
    assert list(filtered(known, kind)) == ["a", "b"]
    assert filtered(known, {"temperature": 0.5, "top_k": 2})["a"] == pytest.approx(25 / 34)


def test_deviations_are_those_of_known_tables() -> None:
    expected = {"a": 0.25, "b": 0.25, "c": 0.25, "d": 0.25}
    # Chi-square 11.34 with 3 degrees of freedom is exceeded once in a hundred: 2.33 deviations.
    counts = {"a": 100 + 16, "b": 100 + 18, "c": 100 - 17, "d": 100 - 17}
    assert deviations(counts, expected) == pytest.approx(2.33, abs=0.12)
    assert deviations({"a": 25, "b": 25, "c": 25, "d": 25}, expected) < 0
    assert deviations({"a": 1}, {"a": 1.0}) == 0.0


def test_distances_are_summed_up() -> None:
    found = distance([0.0] * 98 + [0.5, 1.0])
    assert (found.mean, found.p99, found.largest, found.num) == (0.015, 1.0, 1.0, 100)
    assert distance([]).largest == 0.0
    assert score_distance(transcript(), transcript(shift=0.25)).mean == pytest.approx(0.25)


def test_other_questions_are_not_compared() -> None:
    with pytest.raises(TranscriptError, match="other questions"):
        compare(transcript(), replace(transcript(), size=Size(4, 8)))


def test_formats_are_blamed_where_float32_agrees() -> None:
    plain = (transcript("left", shift=0.02), transcript("right", shift=-0.01))
    found = attribute(plain, (transcript(), transcript()))
    assert [move.distance.mean for move in found.moves] == pytest.approx([0.03, 0.02, 0.01, 0.0])
    assert "compute the same model" in found.words
    found = attribute(plain, (transcript(), transcript(shift=0.1)))
    assert "not the formats' alone" in found.words


def _grown(found: Transcript, num: int) -> Transcript:
    """The same for more prompts."""
    parts = {
        part: replies
        if part not in _OF_PROMPTS
        else [replies[0]] * (num * (2 if part == "render" else 1))
        for part, replies in found.parts.items()
    }
    for part in (Part.TOKENISE, Part.EMBEDDINGS, *NUM_FORMS):
        parts[part] = [made_reply(part, question) for question in questions_of(part, Size(num, 8))]
    return replace(found, size=Size(num, 8), parts=parts)


_OF_PROMPTS = {Part.RENDER, Part.SCORES, Part.GREEDY, Part.SEEDED}


def test_the_made_up_answer_is_of_these_tokens() -> None:
    assert chat(*map(token, TOKENS)).body["choices"][0]["message"]["content"] == "Paris."
