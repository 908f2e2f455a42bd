"""Vectors are held against each other by their cosines, scores by how far they are apart."""

from math import cos, sin

import pytest

from parity.comparison import compare
from parity.findings import Finding, Verdict
from parity.parts import Part
from parity.transcript import Reply
from tests.parity_command.made_up import SIZE, changed, scored, transcript, vector


def finding(*changes: tuple[int, Reply]) -> Finding:
    right = transcript("right")
    for index, reply in changes:
        right = changed(right, Part.EMBEDDINGS, index, reply)
    return next(each for each in compare(transcript(), right) if each.part is Part.EMBEDDINGS)


def turned(angle: float) -> Reply:
    return vector(cos(angle), sin(angle))


def test_the_same_vectors_and_scores_are_the_same() -> None:
    found = finding()
    assert found.verdict is Verdict.SAME
    assert found.measured == "3 vectors, 12 lists of scores"
    assert found.agreement == ("cosines 1.000000 and more, median 1.000000, scores within 0.0e+00")


@pytest.mark.parametrize(
    ("angle", "verdict"),
    [(0.01, Verdict.SAME), (0.1, Verdict.FORMATS), (0.2, Verdict.DIFFERS), (3, Verdict.DIFFERS)],
)
def test_the_lowest_cosine_decides(angle: float, verdict: Verdict) -> None:
    found = finding((1, turned(angle)), (2, turned(0.001)))
    assert found.verdict is verdict
    assert f"cosines {cos(angle):.6f} and more" in found.agreement
    assert (found.first is None) == (verdict is Verdict.SAME)


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [(0.0005, Verdict.SAME), (0.01, Verdict.FORMATS), (0.2, Verdict.DIFFERS)],
)
def test_the_widest_gap_of_scores_decides(gap: float, verdict: Verdict) -> None:
    for index in (SIZE.num_prompts, SIZE.num_prompts + 11):
        is_rerank = index == SIZE.num_prompts + 11
        found = finding((index, scored(0.5 + gap, 0.25, is_rerank=is_rerank)))
        assert found.verdict is verdict
        assert f"within {gap:.1e}" in found.agreement


def test_documents_that_change_places_are_held_against_themselves() -> None:
    reply = scored(0.5, 0.25, is_rerank=True)
    reply.body["results"].reverse()
    assert finding((SIZE.num_prompts + 11, reply)).verdict is Verdict.SAME


@pytest.mark.parametrize(
    "reply",
    [
        Reply(400, {"error": {"message": "no embedding model"}}),
        vector(1.0, 0.0, 0.0),
        Reply(200, {"data": [{"index": 0, "embedding": [1.0, 0.0]}], "usage": {"total": 1}}),
    ],
)
def test_no_cosine_explains_another_shape(reply: Reply) -> None:
    found = finding((0, reply))
    assert found.verdict is Verdict.DIFFERS
    assert found.first is not None
    assert "differ" in found.first.why


def test_a_model_that_makes_no_vectors_is_compared_by_its_scores() -> None:
    left, right = transcript(), transcript("right")
    refusal = Reply(400, {"error": {"message": "ranks pairs"}})
    for index in range(SIZE.num_prompts):
        left = changed(left, Part.EMBEDDINGS, index, refusal)
        right = changed(right, Part.EMBEDDINGS, index, refusal)
    found = next(each for each in compare(left, right) if each.part is Part.EMBEDDINGS)
    assert found.verdict is Verdict.SAME
    assert found.measured == "0 vectors, 12 lists of scores"
