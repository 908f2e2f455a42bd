"""Owns what a server in front of another one costs: a difference and a ratio a round.

Knows no server and no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.figures import Spread, spread
from benchmarks.report import aligned, by_server, grouped
from benchmarks.results import Measurement

# What was aimed at: so much later for the first token at most, and so much of the rate at least.
MOST_LATER_S = 0.002
LEAST_RATE = 0.95


@dataclass(frozen=True, slots=True)
class Overhead:
    """Of the same requests to a server and through another one, in the same rounds. `first_s` is
    how much later the first token comes at the median, `rate` the share of the tokens/s that is
    left, `cpu_s` what the one in front takes for a token.
    """

    case: str
    model: str
    behind: str
    first_s: Spread | None
    first_p95_s: Spread | None
    rate: Spread | None
    cpu_s: Spread | None


def overheads(measurements: Sequence[Measurement]) -> list[Overhead]:
    """One for each case with a server in front of another."""
    return [
        _overhead(group, {each.round: each for each in servers.get(group[0].behind or "", [])})
        for each_case in grouped(measurements).values()
        for servers in [by_server(each_case)]
        for group in servers.values()
        if group[0].behind is not None
    ]


def _overhead(through: Sequence[Measurement], direct: dict[int, Measurement]) -> Overhead:
    pairs = [(each, direct[each.round]) for each in through if each.round in direct]
    return Overhead(
        case=through[0].case,
        model=through[0].model,
        behind=through[0].behind or "",
        first_s=spread([_later(a.first_p50_s, b.first_p50_s) for a, b in pairs]),
        first_p95_s=spread([_later(a.first_p95_s, b.first_p95_s) for a, b in pairs]),
        rate=spread([a.tokens_per_s / b.tokens_per_s for a, b in pairs if b.tokens_per_s]),
        cpu_s=spread([(a.cpu_s_per_1k_tokens or 0.0) / 1000 for a, _ in pairs]),
    )


def overhead_table(measurements: Sequence[Measurement]) -> str:
    """Empty where nothing stood in front of anything."""
    rows = [
        [
            each.case,
            each.model,
            each.behind,
            _shown(each.first_s, 1e3),
            _shown(each.first_p95_s, 1e3),
            _shown(each.rate, 100, digits=1),
            _shown(each.cpu_s, 1e6, digits=0),
        ]
        for each in overheads(measurements)
    ]
    if not rows:
        return ""
    heads = ["case", "model", "behind", "first ms later", "p95 later", "tokens/s in %", "CPU µs"]
    return (
        "Through ours instead of directly: the median of the rounds [lowest, highest]. What ours"
        " takes of the CPU is for a token.\n\n" + aligned([heads, *rows]) + "\n"
    )


def _later(through_s: float | None, direct_s: float | None) -> float:
    return (through_s or 0.0) - (direct_s or 0.0)


def _shown(found: Spread | None, unit: float, digits: int = 2) -> str:
    if found is None:
        return "-"
    median, low, high = (
        f"{unit * value:.{digits}f}" for value in (found.median, found.low, found.high)
    )
    return f"{median} [{low}, {high}]"
