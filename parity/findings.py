"""Owns what a comparison found, as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from parity.parts import Part


class Verdict(IntEnum):
    """From best to worst. NOT_SERVED: neither has such an endpoint. ROUNDING: two tokens were
    nearer than rounding. FORMATS: nearer than the number formats of weights and cache move them.
    DIFFERS: nothing explains it.
    """

    SAME = 0
    NOT_SERVED = 1
    ROUNDING = 2
    FORMATS = 3
    DIFFERS = 4

    @property
    def words(self) -> str:
        return {
            Verdict.SAME: "same",
            Verdict.NOT_SERVED: "not served",
            Verdict.ROUNDING: "same but for rounding",
            Verdict.FORMATS: "differs as number formats do",
            Verdict.DIFFERS: "differs",
        }[self]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference in full: what was asked, what each engine said, where they part and why.
    `labels` are there where the two are not the two engines.
    """

    asked: str
    left: str
    right: str
    at: str
    why: str
    labels: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the table. `measured` says how much was asked, `agreement` how much was alike."""

    part: Part
    title: str
    measured: str
    agreement: str
    verdict: Verdict
    first: Difference | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """To "may I switch engines?", in a line."""

    may_switch: bool
    words: str


def answer(findings: Sequence[Finding]) -> Answer:
    """The worst finding decides."""
    worst = max((each.verdict for each in findings), default=Verdict.SAME)
    named = ", ".join(each.title for each in findings if each.verdict is worst)
    if worst is Verdict.SAME:
        return Answer(True, "yes: every answer was the same")
    if worst is Verdict.NOT_SERVED:
        return Answer(True, f"yes: every answer was the same; neither engine serves {named}")
    if worst is Verdict.ROUNDING:
        return Answer(True, f"yes: the same but for rounding ({named})")
    if worst is Verdict.FORMATS:
        return Answer(
            True,
            "yes, but answers part where two tokens are nearly as good: the engines compute in"
            f" other number formats ({named})",
        )
    return Answer(False, f"no: {named} differ, and neither rounding nor number formats explain it")
