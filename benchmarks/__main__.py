"""The command: ./run.sh bench. Measures, or shows again what was measured."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.cases import CASES, QUICK, Case, Choice, chosen
from benchmarks.measuring import MeasurementFailed
from benchmarks.models.shapes import NAMES, TINY
from benchmarks.overhead import overhead_table
from benchmarks.places import ROOT
from benchmarks.report import table
from benchmarks.results import Measurement, read_lines, write_line
from benchmarks.rounds import Conditions, measured
from benchmarks.servers.kinds import SERVERS

_DEFAULT_RESULTS = ROOT / ".cache" / "bench" / "results.jsonl"
_QUICK_SCALE = 0.1


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 where an answer was wrong or a measurement failed."""
    flags = parser().parse_args(arguments)
    if flags.list:
        for case in CASES:
            print(f"{case.name:22} {case.model:14} {', '.join(c.label for c in case.contestants)}")
        return 0
    results: Path = flags.results
    try:
        measurements = list(read_lines(results)) if flags.report else _run(flags, results)
    except (OSError, msgspec.DecodeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"bench: interrupted; --report shows what is in {results}", file=sys.stderr)
        return 130
    if not measurements:
        print("bench: nothing was measured", file=sys.stderr)
        return 1
    print(table(measurements))
    if costs := overhead_table(measurements):
        print(costs)
    _draw(measurements, results)
    return int(any(each.num_wrong for each in measurements))


def parser() -> argparse.ArgumentParser:
    """Everything has a default: all cases, five rounds, some tens of seconds each."""
    flags = argparse.ArgumentParser(
        prog="./run.sh bench",
        description="Measures this server against others on this machine, in turns. Prints a line"
        " of JSON for each round and server, then a table, and draws charts beside the results.",
        epilog="llama.cpp's own programs are built once, from the source of the pinned"
        " llama-cpp-python: BENCH_LLAMA_SOURCE names one that is there already.",
        allow_abbrev=False,
    )
    names = sorted({case.name for case in CASES})
    flags.add_argument("--cases", type=_listed, default=(), metavar="NAMES", help=_names(names))
    flags.add_argument("--models", type=_listed, default=(), metavar="NAMES", help=_names(NAMES))
    flags.add_argument(
        "--servers", type=_listed, default=(), metavar="NAMES", help=_names(sorted(SERVERS))
    )
    flags.add_argument("--rounds", type=int, default=None, help="how often (5)")
    flags.add_argument("--scale", type=float, default=None, help="times the requests (1)")
    flags.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    flags.add_argument(
        "--checkout", type=Path, default=ROOT, metavar="FOLDER", help="measure that copy of ours"
    )
    flags.add_argument("--quick", action="store_true", help="some seconds on the shipped model")
    flags.add_argument(
        "--results",
        type=Path,
        default=_DEFAULT_RESULTS,
        metavar="FILE",
        help="JSON lines, with logs and charts beside them (.cache/bench)",
    )
    flags.add_argument("--report", action="store_true", help="show the results, measure nothing")
    flags.add_argument("--list", action="store_true", help="the cases, their models and servers")
    return flags


def _run(flags: argparse.Namespace, results: Path) -> list[Measurement]:
    quick: bool = flags.quick
    choice = Choice(
        cases=flags.cases or (QUICK if quick else ()),
        models=flags.models or ((TINY,) if quick else ()),
        servers=flags.servers,
        scale=flags.scale or (_QUICK_SCALE if quick else 1.0),
    )
    results.parent.mkdir(parents=True, exist_ok=True)
    results.unlink(missing_ok=True)
    conditions = Conditions(
        num_rounds=flags.rounds or (2 if quick else 5),
        threads=flags.threads,
        checkout=flags.checkout.resolve(),
        log_dir=results.with_suffix(".logs"),
    )
    return [each for case in chosen(choice) for each in _rounds(case, conditions, results)]


def _rounds(case: Case, conditions: Conditions, results: Path) -> Iterator[Measurement]:
    """Written down and printed as they come; a case that can't be finished ends early."""
    if not case.has_room:
        print(f"bench: {case.name}: too long for {case.model}", file=sys.stderr)
        return
    try:
        for each in measured(case, conditions):
            write_line(each, results)
            print(msgspec.json.encode(each).decode(), flush=True)
            yield each
    except MeasurementFailed as error:
        print(f"bench: {case.name}: {error}", file=sys.stderr)


def _draw(measurements: Sequence[Measurement], results: Path) -> None:
    try:
        from benchmarks.chart import draw_comparison, draw_growth
        from benchmarks.overhead_chart import draw_overhead
    except ImportError as error:
        print(f"bench: no chart: {error}", file=sys.stderr)
        return
    for draw, suffix in ((draw_comparison, ".png"), (draw_growth, ".growth.png")):
        path = results.with_suffix(suffix)
        draw(measurements, path)
        print(path)
    path = results.with_suffix(".overhead.png")
    if draw_overhead(measurements, path):
        print(path)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _names(names: Sequence[str]) -> str:
    return f"separated by commas, * allowed for cases: {', '.join(names)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
