"""Owns the arithmetic: quantiles and slopes. Measures nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MIB = 1 << 20
_HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Growth:
    """A straight line through what memory was held: how steep, and over the whole time how much of
    what was held at its beginning.
    """

    mib_per_hour: float
    percent: float
    mean_mib: float


def growth(at_s: Sequence[float], held_bytes: Sequence[int]) -> Growth | None:
    """By least squares; None for fewer than three points."""
    if len(at_s) < 3:
        return None
    slope, start = np.polyfit(at_s, held_bytes, 1)
    first, last = start + slope * at_s[0], start + slope * at_s[-1]
    return Growth(
        round(float(slope) * _HOUR_S / _MIB, 3),
        round(100 * float((last - first) / first), 3),
        round(float(np.mean(held_bytes)) / _MIB, 1),
    )


def quantile_ms(values_s: Sequence[float], share: float) -> float | None:
    return round(1000 * float(np.quantile(values_s, share)), 2) if values_s else None
