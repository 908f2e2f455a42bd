"""Draws what standing in front of another server costs. Knows no server and runs nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.figures import Spread
from benchmarks.overhead import LEAST_RATE, MOST_LATER_S, Overhead, overheads
from benchmarks.results import Measurement

_GOOD, _BAD = "#1f7a5c", "#b5482f"
_DPI = 150
_MOST_MS = 1e3 * MOST_LATER_S
_LEAST_PERCENT = 100 * LEAST_RATE


def draw_overhead(measurements: Sequence[Measurement], path: Path) -> bool:
    """A row a case, with what was aimed at as a line. False where there is nothing to draw."""
    found = overheads(measurements)
    if not found:
        return False
    figure = Figure(figsize=(12, 1.6 + 0.4 * len(found)), layout="constrained")
    later, rate = figure.subplots(1, 2, sharey=True)
    _points(later, found, lambda each: _times(each.first_s, 1e3), lambda ms: ms <= _MOST_MS)
    _points(rate, found, lambda each: _times(each.rate, 100), lambda share: share >= _LEAST_PERCENT)
    later.axvline(_MOST_MS, color="black", linewidth=0.8, linestyle="--")
    rate.axvline(_LEAST_PERCENT, color="black", linewidth=0.8, linestyle="--")
    later.set_title("first token: how many ms later at the median", fontsize=10)
    rate.set_title("tokens a second, in % of the direct way", fontsize=10)
    labels = [f"{each.case} ({each.model})" for each in found]
    later.set_yticks(range(len(labels)), labels, fontsize=8)
    later.invert_yaxis()
    figure.suptitle("Through ours instead of directly; dashed: what was aimed at")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)
    return True


def _points(
    axis: Any,
    found: Sequence[Overhead],
    value: Callable[[Overhead], Spread | None],
    is_good: Callable[[float], bool],
) -> None:
    for row, each in enumerate(found):
        spread = value(each)
        if spread is None:
            continue
        color = _GOOD if is_good(spread.median) else _BAD
        axis.plot([spread.low, spread.high], [row, row], color=color, linewidth=2, alpha=0.5)
        axis.plot([spread.median], [row], "o", color=color)
        axis.annotate(
            f"{spread.median:.2f}" if spread.median < 50 else f"{spread.median:.1f}",
            (spread.median, row),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    axis.margins(x=0.1)
    axis.grid(axis="x", alpha=0.25)


def _times(found: Spread | None, unit: float) -> Spread | None:
    return found and Spread(unit * found.median, unit * found.low, unit * found.high)
