"""Compares answers token by token: where they part, and how much better one token was there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parity.findings import Difference, Finding, Verdict
from parity.parts import Part, Question
from parity.said import said_by
from parity.stable import stable
from parity.transcript import Reply

# Ties are rare: where more answers than these part, they aren't the reason.
_MOST_TIES = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """Two tokens whose logprobs are nearer than `rounding` may change places by rounding; nearer
    than `formats`, by what the number formats of the two engines were seen to move them.
    """

    rounding: float
    formats: float


@dataclass(frozen=True, slots=True)
class Parting:
    """What two answers are to each other; the difference is there unless they are the same."""

    verdict: Verdict
    difference: Difference | None


def part_of_answers(
    part: Part, pairs: Sequence[tuple[Question, Reply, Reply]], limits: Limits
) -> Finding:
    """The worst parting decides; the first one of that kind is shown."""
    found = [parting(*pair, limits) for pair in pairs]
    num_same = sum(each.verdict is Verdict.SAME for each in found)
    worst = max((each.verdict for each in found), default=Verdict.SAME)
    first = next((each.difference for each in found if each.verdict is worst), None)
    if worst is Verdict.ROUNDING and len(pairs) - num_same > _MOST_TIES * len(pairs):
        worst = Verdict.DIFFERS
    measured = f"{len(pairs)} answers"
    agreement = f"{num_same} of {len(pairs)} identical"
    return Finding(part, part.words, measured, agreement, worst, first)


def parting(question: Question, left: Reply, right: Reply, limits: Limits) -> Parting:
    """Of two chats' answers."""
    if _said(left) == _said(right):
        return Parting(Verdict.SAME, None)
    asked = json.dumps(question.body["messages"], ensure_ascii=False)
    ours, theirs = _text(left), _text(right)
    our_tokens, their_tokens = _tokens(left), _tokens(right)
    if said_by(left) is None or said_by(right) is None:
        verdict, at, why = Verdict.DIFFERS, "status", "one of them is an error"
    elif our_tokens and their_tokens:
        verdict, at, why = _with_scores(our_tokens, their_tokens, limits)
    else:
        verdict, at, why = _without_scores(ours, theirs, limits)
    return Parting(verdict, Difference(asked, ours, theirs, at, why))


def _with_scores(
    left: list[dict[str, Any]], right: list[dict[str, Any]], limits: Limits
) -> tuple[Verdict, str, str]:
    pairs = enumerate(zip(left, right, strict=False))
    at = next((at for at, (a, b) in pairs if a["bytes"] != b["bytes"]), None)
    if at is None:
        return _where_one_ends(left, right, limits)
    gaps = [_gap(left[at], right[at]), _gap(right[at], left[at])]
    words = (
        f"{left[at]['token']!r} led by {gaps[0]:.5f} on the left,"
        f" {right[at]['token']!r} by {gaps[1]:.5f} on the right"
    )
    return _judged(max(gaps), limits, at, words)


def _where_one_ends(
    left: list[dict[str, Any]], right: list[dict[str, Any]], limits: Limits
) -> tuple[Verdict, str, str]:
    """An end token is not shown: that of the one that goes on must have had a close second."""
    at = min(len(left), len(right))
    longer = max(left, right, key=len)
    if at == len(longer):
        return Verdict.DIFFERS, f"token {at}", "the same tokens, ended otherwise"
    second = sorted((each["logprob"] for each in longer[at]["top_logprobs"]), reverse=True)[1:2]
    gap = longer[at]["logprob"] - second[0] if second else float("inf")
    words = f"one ends where {longer[at]['token']!r} led by {gap:.5f} in the other"
    return _judged(gap, limits, at, words)


def _judged(gap: float, limits: Limits, at: int, words: str) -> tuple[Verdict, str, str]:
    if gap <= limits.rounding:
        return Verdict.ROUNDING, f"token {at}", f"a near tie: {words}"
    if gap <= limits.formats:
        return Verdict.FORMATS, f"token {at}", f"within what number formats move: {words}"
    return Verdict.DIFFERS, f"token {at}", f"no tie: {words}"


def _gap(own: dict[str, Any], other: dict[str, Any]) -> float:
    """By how much an engine preferred its own token to the other's."""
    tops = {tuple(each["bytes"]): each["logprob"] for each in own["top_logprobs"]}
    theirs = tops.get(tuple(other["bytes"]))
    return float("inf") if theirs is None else float(own["logprob"] - theirs)


def _without_scores(left: str, right: str, limits: Limits) -> tuple[Verdict, str, str]:
    """A seeded draw parts where noise decides between near ones: formats explain that, no more."""
    at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), None)
    place = f"character {min(len(left), len(right)) if at is None else at}"
    if limits.formats > limits.rounding:
        return Verdict.FORMATS, place, "drawn from logits that differ as number formats do"
    return Verdict.ROUNDING, place, "drawn from logits that differ by rounding"


def _said(reply: Reply) -> Any:
    said = said_by(reply)
    if said is None:
        return reply.status, stable(reply.body)
    return said.thoughts, said.text, said.calls, said.ending


def _text(reply: Reply) -> str:
    said = said_by(reply)
    return f"{reply.status}: {json.dumps(reply.body)}" if said is None else said.line


def _tokens(reply: Reply) -> list[dict[str, Any]]:
    choices = reply.body.get("choices") or [{}]
    return (choices[0].get("logprobs") or {}).get("content") or []
