"""Compares vectors by their cosines, and scores by how far they are apart."""

from collections.abc import Sequence
from math import sqrt
from statistics import median
from typing import Any

from parity.findings import Difference, Finding, Verdict
from parity.parts import EMBED, Part, Question
from parity.stable import stable, whole
from parity.transcript import Reply

# Engines that compute alike are this near; quantised weights and short numbers move them so far.
_ALIKE, _NEAR = 0.9999, 0.99
_ALIKE_SCORES, _NEAR_SCORES = 1e-3, 0.05

Pair = tuple[Question, Reply, Reply]


def compare_embeddings(pairs: Sequence[Pair]) -> Finding:
    """The least alike of all decides, and is shown."""
    vectors = [pair for pair in pairs if pair[0].path == EMBED]
    cosines = [(_cosine(one, other), pair) for pair in vectors for _, one, other in [pair]]
    known = [(cosine, pair) for cosine, pair in cosines if cosine is not None]
    gaps = [(_gap(one, other), pair) for pair in pairs for _, one, other in [pair]]
    scores = [(gap, pair) for gap, pair in gaps if gap is not None]
    measured = f"{len(known)} vectors, {len(scores)} lists of scores"
    agreement = ", ".join([*_of_vectors(known), *_of_scores(scores)]) or "none"
    wrong = [pair for pair in pairs if _outline(pair[1]) != _outline(pair[2])]
    if wrong:
        first = whole(*wrong[0], "status, error or shape differ")
        return Finding(
            Part.EMBEDDINGS, Part.EMBEDDINGS.words, measured, agreement, Verdict.DIFFERS, first
        )
    verdict, first_or_none = _judged(known, scores)
    return Finding(
        Part.EMBEDDINGS, Part.EMBEDDINGS.words, measured, agreement, verdict, first_or_none
    )


def _of_vectors(known: Sequence[tuple[float, Pair]]) -> list[str]:
    cosines = [cosine for cosine, _ in known]
    if not cosines:
        return []
    return [f"cosines {min(cosines):.6f} and more, median {median(cosines):.6f}"]


def _of_scores(scores: Sequence[tuple[float, Pair]]) -> list[str]:
    return [f"scores within {max(gap for gap, _ in scores):.1e}"] if scores else []


def _judged(
    known: Sequence[tuple[float, Pair]], scores: Sequence[tuple[float, Pair]]
) -> tuple[Verdict, Difference | None]:
    lowest = min(known, key=lambda each: each[0], default=None)
    widest = max(scores, key=lambda each: each[0], default=None)
    cosine, gap = lowest[0] if lowest else 1.0, widest[0] if widest else 0.0
    if cosine >= _ALIKE and gap <= _ALIKE_SCORES:
        return Verdict.SAME, None
    is_near = cosine >= _NEAR and gap <= _NEAR_SCORES
    verdict = Verdict.FORMATS if is_near else Verdict.DIFFERS
    if lowest is not None and cosine < _ALIKE:
        return verdict, whole(*lowest[1], f"the cosine of the vectors is {cosine:.6f}")
    assert widest is not None
    return verdict, whole(*widest[1], f"scores {gap:.1e} apart")


def _cosine(left: Reply, right: Reply) -> float | None:
    """None where one of them is no vector, or they are of different lengths."""
    one, other = _vector(left), _vector(right)
    if not one or len(one) != len(other):
        return None
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    lengths = sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return dot / lengths if lengths else 0.0


def _vector(reply: Reply) -> list[float]:
    data = reply.body.get("data") or [{}]
    vector: list[float] = data[0].get("embedding") or []
    return vector


def _gap(left: Reply, right: Reply) -> float | None:
    one, other = _scores(left), _scores(right)
    if not one or one.keys() != other.keys():
        return None
    return max(abs(one[index] - other[index]) for index in one)


def _scores(reply: Reply) -> dict[int, float]:
    """By the document's index: two that are nearly as good may change their places."""
    told = reply.body.get("results") or reply.body.get("data") or []
    named = {each["index"]: each.get("relevance_score", each.get("score")) for each in told}
    return {index: score for index, score in named.items() if score is not None}


def _outline(reply: Reply) -> Any:
    """All but the numbers, and the name that the model has on each engine."""
    if reply.status != 200:
        return reply.status, stable(reply.body)
    usage, num = reply.body.get("usage"), len(_vector(reply))
    return reply.status, sorted(reply.body), usage, num, sorted(_scores(reply))
