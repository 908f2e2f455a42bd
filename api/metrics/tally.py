"""Owns one histogram's counts, on one event loop: no lock, and a count costs no more than a search
in its bounds. Knows no name and no label.
"""

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.utils import floatToGoString


class Tally:
    """Values by the first bound that is not below them."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self, highest: float | None = None) -> list[tuple[str, float]]:
        """Each bound up to `highest` as Prometheus writes it, with how many values are not above
        it; all values at last.
        """
        found, below = [], 0
        for bound, count in zip(self._bounds, self._counts, strict=False):
            below += count
            if highest is None or bound <= highest:
                found.append((floatToGoString(bound), float(below)))  # type: ignore[no-untyped-call]
        return [*found, ("+Inf", float(sum(self._counts)))]
