"""Owns the figures of one measurement, and medians over rounds. Knows no server and no file."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from benchmarks.client.plan import Answer


@dataclass(frozen=True, slots=True)
class Figures:
    """Rates in tokens a second, times in seconds. None where there was nothing to measure."""

    num_answers: int
    num_tokens: int
    num_prompt_tokens: int
    num_cached_tokens: int | None
    num_wrong: int
    wall_s: float
    tokens_per_s: float
    decode_tokens_per_s: float | None
    first_p50_s: float | None
    first_p95_s: float | None
    gap_p50_s: float | None
    gap_p99_s: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the smallest and the largest."""

    median: float
    low: float
    high: float


def figures(answers: Sequence[Answer]) -> Figures:
    """Where some are in the background, gaps are theirs while the others wait for their first
    token, and first tokens are the others'.
    """
    ahead = [answer for answer in answers if not answer.is_background]
    firsts = [_first_s(answer) for answer in ahead if answer.event_times_s]
    gaps = _gaps_beside(answers) if len(ahead) < len(answers) else _gaps(ahead)
    num_tokens = sum(_num_tokens(answer) for answer in answers)
    started_s = min((answer.sent_s for answer in answers), default=0.0)
    wall_s = max((answer.ended_s for answer in answers), default=0.0) - started_s
    return Figures(
        num_answers=len(answers),
        num_tokens=num_tokens,
        num_prompt_tokens=sum(answer.num_prompt_tokens or 0 for answer in answers),
        num_cached_tokens=_sum_known([answer.num_cached_tokens for answer in answers]),
        num_wrong=sum(is_wrong(answer) for answer in answers),
        wall_s=wall_s,
        tokens_per_s=num_tokens / wall_s if wall_s > 0 else 0.0,
        decode_tokens_per_s=_decode_rate(answers),
        first_p50_s=percentile(firsts, 50),
        first_p95_s=percentile(firsts, 95),
        gap_p50_s=percentile(gaps, 50),
        gap_p99_s=percentile(gaps, 99),
    )


def is_wrong(answer: Answer) -> bool:
    """An error, or another number of tokens than was asked for."""
    return answer.error is not None or _num_tokens(answer) != answer.num_wanted


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest rank: the smallest value that at least `percent` of all don't exceed."""
    if not values:
        return None
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def spread(values: Sequence[float]) -> Spread | None:
    """None for no values."""
    return Spread(statistics.median(values), min(values), max(values)) if values else None


def _num_tokens(answer: Answer) -> int:
    """As the server counts. Where it doesn't: all, if it says that it ended for their number;
    else its events, of which one may carry several.
    """
    if answer.num_tokens is not None:
        return answer.num_tokens
    return answer.num_wanted if answer.finish_reason == "length" else len(answer.event_times_s)


def _first_s(answer: Answer) -> float:
    return answer.event_times_s[0] - answer.sent_s


def _gaps(answers: Sequence[Answer]) -> list[float]:
    return [
        after - before for answer in answers for before, after in pairwise(answer.event_times_s)
    ]


def _gaps_beside(answers: Sequence[Answer]) -> list[float]:
    """Gaps of those in the background that overlap the time in which others wait for a token."""
    waits = [
        (answer.sent_s, answer.event_times_s[0])
        for answer in answers
        if answer.event_times_s and not answer.is_background
    ]
    return [
        after - before
        for answer in answers
        if answer.is_background
        for before, after in pairwise(answer.event_times_s)
        if any(before < end and start < after for start, end in waits)
    ]


def _decode_rate(answers: Sequence[Answer]) -> float | None:
    """Tokens a second once every stream has its first, where each client has one stream.

    Events stand for tokens up to then: few have been merged so early.
    """
    times = [answer.event_times_s for answer in answers if answer.event_times_s]
    if len({answer.client for answer in answers}) < len(answers) or not times:
        return None
    start_s, end_s = max(each[0] for each in times), max(each[-1] for each in times)
    before = sum(1 for each in times for time_s in each if time_s <= start_s)
    left = sum(_num_tokens(answer) for answer in answers) - before
    return left / (end_s - start_s) if end_s > start_s else None


def _sum_known(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
