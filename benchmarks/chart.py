"""Draws the comparisons, and how cost grows. Knows no server and runs nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.figures import Spread
from benchmarks.report import Comparison, by_server, comparisons, grouped, median
from benchmarks.results import Measurement

_BETTER, _WORSE, _NEUTRAL = "#1f7a5c", "#b5482f", "#8a8f98"
_LINES = ("#1f7a5c", "#8a8f98", "#3b6ea8", "#b58a2f")
_DPI = 150
_GROWTH = (
    ("clients-", "clients", "tokens a second", lambda m: m.tokens_per_s),
    ("growth-context-", "prompt, in tokens", "first token, in ms", lambda m: _ms(m.first_p50_s)),
    (
        "growth-cached-",
        "shared part of the prompt, in %",
        "tokens a second",
        lambda m: m.tokens_per_s,
    ),
)


def draw_comparison(measurements: Sequence[Measurement], path: Path) -> None:
    """A bar a case and server, right of 1 where the case's first server is better."""
    compared = [each for each in comparisons(measurements) if not each.case.startswith("growth-")]
    panels: tuple[tuple[str, Callable[[Comparison], Spread | None]], ...] = (
        ("tokens a second", _rate),
        ("first token: how many times sooner", lambda each: _inverse(each.first)),
        ("longest gaps (p99): how many times shorter", lambda each: _inverse(each.longest_gap)),
    )
    figure = Figure(figsize=(14, 1.6 + 0.42 * len(compared)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    labels = [f"{each.case} ({each.model})\nagainst {each.server}" for each in compared]
    for axis, (title, value) in zip(axes, panels, strict=True):
        _bars(axis, [value(each) for each in compared])
        axis.set_title(title, fontsize=10)
    axes[0].set_yticks(range(len(labels)), labels, fontsize=7)
    axes[0].invert_yaxis()
    figure.suptitle("Right of 1 is better: medians of the rounds' ratios, with their range")
    _save(figure, path)


def draw_growth(measurements: Sequence[Measurement], path: Path) -> None:
    """A panel a family of cases that differ in one number, a line a server and model."""
    figure = Figure(figsize=(14, 4.2), layout="constrained")
    axes = figure.subplots(1, len(_GROWTH), squeeze=False)[0]
    for axis, (prefix, abscissa, ordinate, value) in zip(axes, _GROWTH, strict=True):
        family = [each for each in measurements if each.case.startswith(prefix)]
        for color, (label, points) in zip(_LINES * 4, _lines(family, prefix, value), strict=False):
            axis.plot(*zip(*points, strict=True), marker="o", color=color, label=label)
        axis.set(xlabel=abscissa, ylabel=ordinate, ylim=(0, None))
        axis.grid(alpha=0.25)
        if family:
            axis.legend(fontsize=8)
    _save(figure, path)


def _lines(
    family: Sequence[Measurement], prefix: str, value: Callable[[Measurement], float | None]
) -> list[tuple[str, list[tuple[float, float]]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for (case, model), group in grouped(family).items():
        for server, rounds in by_server(group).items():
            ordinate = median(rounds, value)
            if ordinate is not None:
                point = (float(case.removeprefix(prefix)), ordinate)
                found.setdefault(f"{server} ({model})", []).append(point)
    return [(label, sorted(points)) for label, points in found.items()]


def _bars(axis: Any, spreads: Sequence[Spread | None]) -> None:
    for row, found in enumerate(spreads):
        if found is None:
            continue
        color = _BETTER if found.low >= 1 else _WORSE if found.high <= 1 else _NEUTRAL
        axis.barh(row, found.median - 1, left=1, color=color, height=0.6)
        axis.plot([found.low, found.high], [row, row], color="black", linewidth=1)
        axis.annotate(
            f"{found.median:.2f}",
            (max(found.high, 1), row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axis.margins(x=0.15)
    axis.grid(axis="x", alpha=0.25)


def _rate(each: Comparison) -> Spread | None:
    """Where decoding alone can be compared with a program that does nothing else, that."""
    return each.decode_tokens_per_s if each.first is None else each.tokens_per_s


def _inverse(found: Spread | None) -> Spread | None:
    if found is None or not found.low:
        return None
    return Spread(1 / found.median, 1 / found.high, 1 / found.low)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)
