"""The table, the ratios and the charts of fixed lines."""

from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.figures import Spread
from benchmarks.report import comparisons, table
from benchmarks.results import Measurement, read_lines, write_line

LINES = Path(__file__).with_name("results.jsonl")
TABLE = """\
Medians over the rounds.

case       model  server   rounds  tokens/s  decode/s  first ms  p95  gap ms   p99  CPU s/1k  MiB  others %
clients-8  140m   ours          3     200.0         -       100  120    10.0  30.0      8.00  300         2
clients-8  140m   peer !        3     100.0         -       300  400    20.0  40.0     10.00  200         1
decode-8   140m   ours          1     150.0     190.0       100    -       -     -         -    -        25
decode-8   140m   program       1     180.0     200.0         -    -       -     -         -    -         -

Each case's first server divided by the other: the median of the rounds' ratios [lowest, highest].
Above 1 is faster for tokens/s, below 1 is sooner for times.

case       model  compared with           tokens/s           decode/s        first token            gap p99
clients-8  140m   peer           2.00 [1.50, 2.50]                  -  0.33 [0.25, 0.50]  0.75 [0.50, 1.00]
decode-8   140m   program        0.83 [0.83, 0.83]  0.95 [0.95, 0.95]                  -                  -

BUSY: in 1 of 8 measurements other programs had more than 5% of the machine: these figures are not to be relied on.

WRONG: 2 answers, of the servers with an exclamation mark.
"""  # noqa: E501


def test_the_table_of_fixed_lines() -> None:
    assert table(list(read_lines(LINES))) == TABLE


def test_ratios_are_taken_within_a_round() -> None:
    compared = comparisons(read_lines(LINES))
    assert [each.server for each in compared] == ["peer", "program"]
    assert compared[0].tokens_per_s == Spread(2.0, 1.5, 2.5)


def test_a_line_is_read_as_it_was_written(tmp_path: Path) -> None:
    measurements = list(read_lines(LINES))
    for each in measurements:
        write_line(each, tmp_path / "again.jsonl")
    assert list(read_lines(tmp_path / "again.jsonl")) == measurements


@pytest.mark.timeout(60)
def test_the_report_shows_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "r.jsonl"
    results.write_bytes(LINES.read_bytes())
    assert main(["--report", "--results", str(results)]) == 1, "an answer was wrong"
    assert capsys.readouterr().out.startswith(TABLE)


@pytest.mark.parametrize("lines", [[], ["growth-context-128", "growth-context-500", "clients-1"]])
def test_charts_are_drawn_of_whatever_there_is(tmp_path: Path, lines: list[str]) -> None:
    # Here and not at the top: the drawing library takes its time.
    from benchmarks import chart

    measurements = list(read_lines(LINES)) if not lines else []
    for case in lines:
        first = Measurement(
            case=case,
            model="140m",
            round=0,
            server="ours",
            is_first=True,
            num_clients=1,
            num_tokens=1,
            first_p50_s=0.1,
        )
        measurements.append(first)
    chart.draw_comparison(measurements, tmp_path / "a.png")
    chart.draw_growth(measurements, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_results_that_are_not_there_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--report", "--results", str(tmp_path / "none.jsonl")]) == 1
    assert capsys.readouterr().err.startswith("bench: ")
