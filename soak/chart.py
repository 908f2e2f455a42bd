"""Draws a soak: what the server held over time, and how requests ended. Runs nothing."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from soak.run import Soaked
from soak.verdict import Verdict

_LINE, _GOOD, _BAD = "#3b6ea8", "#1f7a5c", "#b5482f"
_DPI = 150
_MIB = 1 << 20


def draw(verdict: Verdict, soaked: Soaked, path: Path) -> None:
    figure = Figure(figsize=(14, 8), layout="constrained")
    panels = figure.subplots(2, 2)
    samples = soaked.samples
    minutes = [each.at_s / 60 for each in samples]
    _over_time(panels[0][0], minutes, [each.memory_bytes / _MIB for each in samples], "memory, MiB")
    _over_time(
        panels[0][1], minutes, [each.num_descriptors for each in samples], "open descriptors"
    )
    _over_time(panels[1][0], minutes, [each.num_threads for each in samples], "threads")
    _ends(panels[1][1], verdict)
    is_good = not verdict.missed
    figure.suptitle(
        f"{verdict.figures['engine']}: {verdict.figures['requests']} requests of"
        f" {verdict.figures['clients']} clients in {verdict.figures['minutes']:g} minutes,"
        f" {'every reach kept' if is_good else f'{len(verdict.missed)} reaches missed'}",
        color=_GOOD if is_good else _BAD,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)


def _over_time(axis: Any, minutes: list[float], values: list[float], title: str) -> None:
    axis.plot(minutes, values, color=_LINE, linewidth=1)
    axis.set(xlabel="minutes", ylim=(0, None))
    axis.set_title(title, fontsize=10)
    axis.grid(alpha=0.25)


def _ends(axis: Any, verdict: Verdict) -> None:
    sums: dict[str, int] = {}
    for each in verdict.figures["outcomes"].values():
        for label, number in each.items():
            sums[label] = sums.get(label, 0) + number
    labels = sorted(sums, key=lambda label: sums[label])
    axis.barh(labels, [sums[label] for label in labels], color=_LINE)
    axis.set_xscale("log")
    axis.set_title("how requests ended, as clients saw it", fontsize=10)
    axis.grid(axis="x", alpha=0.25)
