"""Owns the numbers that differences are summed up in. Knows no engine and no transcript."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

# Fewer expected draws than this are counted together.
_FEWEST = 5.0


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two lists of log-probabilities are apart, in natural logarithms."""

    mean: float
    p99: float
    largest: float
    num: int


def distance(differences: Sequence[float]) -> Distance:
    """Of absolute differences; of none it is 0."""
    if not differences:
        return Distance(0.0, 0.0, 0.0, 0)
    ordered = sorted(differences)
    place = min(int(0.99 * len(ordered)), len(ordered) - 1)
    return Distance(sum(ordered) / len(ordered), ordered[place], ordered[-1], len(ordered))


def deviations(counts: Mapping[str, int], expected: Mapping[str, float]) -> float:
    """How far counts are from a distribution, in standard deviations of its chi-square, by the
    approximation of Wilson and Hilferty (1931). What `expected` does not name is the rest.
    """
    num = sum(counts.values())
    often = [name for name, share in expected.items() if share * num >= _FEWEST]
    cells = [(counts.get(name, 0), expected[name] * num) for name in often]
    rest = (num - sum(found for found, _ in cells), num - sum(right for _, right in cells))
    cells += [rest] if rest[1] >= _FEWEST else []
    if len(cells) < 2:
        return 0.0
    degrees = len(cells) - 1
    square = sum((found - right) ** 2 / right for found, right in cells)
    spread = 2 / (9 * degrees)
    return float(((square / degrees) ** (1 / 3) - (1 - spread)) / sqrt(spread))
