"""Owns what a comparison looks like: a table in the terminal, and a page to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from parity.attribution import Attribution
from parity.comparison import pairs_of
from parity.findings import Answer, Difference, Finding
from parity.parts import Part
from parity.transcript import Transcript

_PAGE = Path(__file__).with_name("page.html.jinja")
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Report:
    """All that is shown. `note` says what was not measured, and why."""

    left: Transcript
    right: Transcript
    findings: tuple[Finding, ...]
    answer: Answer
    attribution: Attribution | None = None
    note: str = ""


def table(report: Report) -> str:
    """Rows of findings, then each kind's first difference, then the answer."""
    rows = [("", "asked", "agreement", "verdict")]
    rows += [(f.title, f.measured, f.agreement, f.verdict.words) for f in report.findings]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{report.left.label}: {report.left.engine}",
        f"{report.right.label}: {report.right.engine}",
        "",
        *(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ),
    ]
    for finding in report.findings:
        if finding.first is not None:
            lines += ["", *_difference(report, finding.title, finding.first)]
    if report.attribution is not None:
        lines += ["", "log-probabilities apart, mean and p99:"]
        for move in report.attribution.moves:
            found = move.distance
            lines.append(f"  {move.what:40} {found.mean:.1e}  {found.p99:.1e}")
        lines += [report.attribution.words]
    if report.note:
        lines += ["", report.note]
    return "\n".join([*lines, "", f"may I switch engines? {report.answer.words}"])


def write_page(report: Report, path: Path) -> None:
    """One file that needs no other. What models and clients wrote is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_PAGE.read_text(encoding="utf-8"))
    bars = _by_position(report)
    page = template.render(
        report=report,
        bars=bars,
        highest=max([count for _, count in bars], default=1),
        num_answers=len(report.left.parts.get(Part.GREEDY, [])),
        labels_of=labels_of,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _difference(report: Report, title: str, first: Difference) -> list[str]:
    left, right = labels_of(report, first)
    return [
        f"{title}, the first difference, at {first.at}: {first.why}",
        f"  asked: {_cut(first.asked)}",
        f"  {left}: {_cut(first.left)}",
        f"  {right}: {_cut(first.right)}",
    ]


def labels_of(report: Report, first: Difference) -> tuple[str, str]:
    return first.labels or (report.left.label, report.right.label)


def _cut(text: str) -> str:
    line = text.replace("\n", "\\n")
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"


def _by_position(report: Report) -> list[tuple[int, int]]:
    """How many greedy answers are still the same after so many tokens."""
    if Part.GREEDY not in report.left.parts:
        return []
    lengths: list[int] = []
    for _, one, other in pairs_of(report.left, report.right, Part.GREEDY):
        lengths.append(_num_same(one.body, other.body, report.left.size.num_tokens))
    most = report.left.size.num_tokens
    return [(at, sum(length >= at for length in lengths)) for at in range(0, most + 1)]


def _num_same(left: dict[str, object], right: dict[str, object], most: int) -> int:
    tokens: list[Sequence[object]] = [_bytes(body) for body in (left, right)]
    for at, (one, other) in enumerate(zip(*tokens, strict=False)):
        if one != other:
            return at
    return most if len(tokens[0]) == len(tokens[1]) else min(map(len, tokens))


def _bytes(body: object) -> list[object]:
    choices = body.get("choices") if isinstance(body, dict) else None
    content = ((choices or [{}])[0].get("logprobs") or {}).get("content") or []
    return [token["bytes"] for token in content]
