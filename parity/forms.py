"""Compares answers that are asked for in several forms: across engines, and form by form on each.

The first form is a chat that tells the scores of its tokens. Where two engines' chats part, these
say whether rounding or number formats can be the reason; where an engine says something else in
another form, how near a token of its chat came to being another one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from parity.findings import Difference, Finding, Verdict
from parity.partings import Limits, Parting, parting
from parity.parts import NUM_FORMS, Part, Question
from parity.promises import broken_promise
from parity.said import Said, said_by
from parity.stable import asked, stable
from parity.transcript import Reply

# Ties are rare: where more answers than these part, and more than one, they aren't the reason.
_MOST_TIES = 0.05


@dataclass(frozen=True, slots=True)
class Case:
    """One wish in all its forms, and what both engines replied to each."""

    questions: Sequence[Question]
    left: Sequence[Reply]
    right: Sequence[Reply]


@dataclass(frozen=True, slots=True)
class Sides:
    """What the engines are called, and which gaps between tokens explain what."""

    labels: tuple[str, str]
    limits: Limits


def compare_forms(
    part: Part, pairs: Sequence[tuple[Question, Reply, Reply]], sides: Sides
) -> Finding:
    """The worst of all cases decides; the first one of that kind is shown."""
    cases = _cases(part, pairs)
    found = [_compared(case, sides) for case in cases]
    worst = max((each.verdict for each in found), default=Verdict.SAME)
    num_same = sum(each.verdict is Verdict.SAME for each in found)
    first = next((each.difference for each in found if each.verdict is worst), None)
    if worst is Verdict.ROUNDING and len(cases) - num_same > max(1, _MOST_TIES * len(cases)):
        worst = Verdict.DIFFERS
    agreement = f"{num_same} of {len(cases)} identical{_counted(part, cases)}"
    return Finding(part, part.words, f"{len(cases)} wishes", agreement, worst, first)


def _cases(part: Part, pairs: Sequence[tuple[Question, Reply, Reply]]) -> list[Case]:
    size = NUM_FORMS[part]
    groups = [pairs[at : at + size] for at in range(0, len(pairs), size)]
    return [
        Case([q for q, _, _ in group], [one for _, one, _ in group], [two for _, _, two in group])
        for group in groups
    ]


def _compared(case: Case, sides: Sides) -> Parting:
    """The worst that was found of one case."""
    found = [parting(case.questions[0], case.left[0], case.right[0], sides.limits)]
    for label, replies in zip(sides.labels, (case.left, case.right), strict=True):
        found.append(_promised(case.questions[0], replies[0], label))
        for question, reply in zip(case.questions[1:], replies[1:], strict=True):
            found.append(_same_as_chat(question, replies[0], reply, (label, sides.limits)))
    for question, one, other in zip(case.questions, case.left, case.right, strict=True):
        found.append(_same_body(question, one, other))
    return max(found, key=lambda each: each.verdict)


def _promised(question: Question, reply: Reply, label: str) -> Parting:
    broken = broken_promise(question, reply)
    if broken is None:
        return Parting(Verdict.SAME, None)
    shown = Difference(asked(question), _line(reply), broken, label, broken, (label, "promised"))
    return Parting(Verdict.DIFFERS, shown)


def _same_as_chat(
    question: Question, chat: Reply, reply: Reply, judged_by: tuple[str, Limits]
) -> Parting:
    if _agree(chat, reply):
        return Parting(Verdict.SAME, None)
    label, limits = judged_by
    lead = smallest_lead(chat)
    verdict, why = Verdict.DIFFERS, "no token of the chat was near to another one"
    if chat.status != reply.status or said_by(chat) is None:
        why = "one of them is an error"
    elif lead <= limits.rounding:
        verdict, why = Verdict.ROUNDING, f"a near tie: a token led by {lead:.5f}"
    elif lead <= limits.formats:
        verdict, why = Verdict.FORMATS, f"within what number formats move: one led by {lead:.5f}"
    labels = (f"{label} as a chat", f"{label} in this form")
    shown = Difference(asked(question), _line(chat), _line(reply), label, why, labels)
    return Parting(verdict, shown)


def _agree(chat: Reply, reply: Reply) -> bool:
    if reply.status == 200 and isinstance(reply.body, dict) and set(reply.body) == {"input_tokens"}:
        told: int = reply.body["input_tokens"]
        one = said_by(chat)
        return one is not None and one.num_prompt == told
    one, other = said_by(chat), said_by(reply)
    if one is None or other is None:
        return one is other and chat.status == reply.status
    return bool(_comparable(one) == _comparable(other))


def _comparable(said: Said) -> Any:
    """Of a call that was cut off, the APIs don't tell the same: one has text, another an object."""
    calls = [(call.name, call.arguments) for call in said.calls]
    if said.ending == "length" and calls:
        calls[-1] = (calls[-1][0], "")
    return said.thoughts, said.text, calls, said.ending, said.num_prompt, said.num_answer


def _same_body(question: Question, left: Reply, right: Reply) -> Parting:
    """Where both say the same, they must do so in the same body, or the same events."""
    if said_by(left) != said_by(right) or _shape(left) == _shape(right):
        return Parting(Verdict.SAME, None)
    ours, theirs = str(_shape(left)), str(_shape(right))
    why = "the same answer in another body"
    return Parting(Verdict.DIFFERS, Difference(asked(question), ours, theirs, "body", why))


def _shape(reply: Reply) -> Any:
    if not isinstance(reply.body, list):
        return reply.status, _without_scores(stable(reply.body))
    kinds = [event.get("type", "chunk") for event in reply.body if event.get("type") != "ping"]
    # How many events a text takes depends on when it was sent.
    pairs = zip([None, *kinds], kinds, strict=False)
    return reply.status, [kind for before, kind in pairs if kind != before]


def _without_scores(body: Any) -> Any:
    if not isinstance(body, dict) or "choices" not in body:
        return body
    choices = [{**choice, "logprobs": None} for choice in body["choices"]]
    return {**body, "choices": choices}


def smallest_lead(chat: Reply) -> float:
    """By how little any token of an answer led the next best one."""
    if chat.status != 200:
        return inf
    leads = [inf]
    for token in (chat.body["choices"][0].get("logprobs") or {}).get("content") or []:
        best = sorted((each["logprob"] for each in token["top_logprobs"]), reverse=True)
        if len(best) > 1:
            leads.append(best[0] - best[1])
    return min(leads)


def _counted(part: Part, cases: Sequence[Case]) -> str:
    """How many came to use what the part is about."""
    said = [said_by(case.left[0]) for case in cases]
    if part is Part.TOOLS:
        return f", {sum(bool(each and each.calls) for each in said)} with calls"
    if part is Part.THOUGHTS:
        return f", {sum(bool(each and each.thoughts) for each in said)} with thoughts"
    return ""


def _line(reply: Reply) -> str:
    said = said_by(reply)
    return f"{reply.status}: {stable(reply.body)}" if said is None else said.line
