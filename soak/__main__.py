"""The command: ./run.sh soak. A line of JSON, a chart beside it, and 1 where a reach is missed."""

import argparse
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.places import ROOT
from benchmarks.servers.base import ServerUnavailable
from soak.run import Soaked, SoakFailed, Wishes, soaked
from soak.verdict import Verdict, verdict_of

_DEFAULT_OUT = ROOT / ".cache" / "soak" / "soak.json"
_LEAST_CLIENTS = 4


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code: 1 where a reach is missed, 2 where nothing could be measured."""
    flags = parser().parse_args(arguments)
    # Else the server would stay.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    out: Path = flags.out
    wishes = Wishes(
        engine=flags.engine,
        minutes=flags.minutes,
        num_clients=flags.clients,
        seed=flags.seed or secrets.token_hex(4),
        settings=dict(flags.set),
        folder=out.with_suffix(".logs"),
    )
    try:
        seen = soaked(wishes)
    except (SoakFailed, ServerUnavailable) as error:
        print(f"soak: {error} (log: {wishes.log})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("soak: interrupted", file=sys.stderr)
        return 130
    verdict = verdict_of(wishes, seen)
    line = msgspec.json.encode({**verdict.figures, "seed": wishes.seed})
    out.write_bytes(line + b"\n")
    print(line.decode(), flush=True)
    _draw(verdict, seen, out.with_suffix(".png"))
    for missed in verdict.missed:
        print(f"soak: missed: {missed}", file=sys.stderr)
    return int(bool(verdict.missed))


def parser() -> argparse.ArgumentParser:
    """Everything has a default: half an hour of 64 clients on the llama.cpp engine."""
    flags = argparse.ArgumentParser(
        prog="./run.sh soak",
        description="Sends a crowd of good, bad and leaving clients at a server of its own, and"
        " looks for what is lost, left or grows. Prints a line of JSON and draws a chart.",
        allow_abbrev=False,
    )
    flags.add_argument("--minutes", type=_positive, default=30.0, help="how long (30)")
    flags.add_argument("--engine", choices=("llama_cpp", "vllm"), default="llama_cpp")
    flags.add_argument("--clients", type=_clients, default=64, help="how many (64)")
    flags.add_argument("--seed", help="draws the same requests again")
    flags.add_argument(
        "--set",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable of the server",
    )
    flags.add_argument(
        "--out",
        type=Path,
        default=_DEFAULT_OUT,
        metavar="FILE",
        help="the line, with the chart and logs beside it (.cache/soak)",
    )
    return flags


def _draw(verdict: Verdict, seen: Soaked, path: Path) -> None:
    try:
        from soak.chart import draw
    except ImportError as error:
        print(f"soak: no chart: {error}", file=sys.stderr)
        return
    draw(verdict, seen, path)
    print(path, file=sys.stderr)


def _positive(text: str) -> float:
    number = float(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("allowed is a number above 0")
    return number


def _clients(text: str) -> int:
    number = int(text)
    if number < _LEAST_CLIENTS:
        raise argparse.ArgumentTypeError(f"allowed are {_LEAST_CLIENTS} at least")
    return number


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("allowed is NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
