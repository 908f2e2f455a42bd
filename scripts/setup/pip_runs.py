"""Owns running pip: its log, what of its output is shown, and what its failures mean in a line."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scripts.setup.errors import SetupError

_SHOWN = ("Collecting ", "Downloading ", "Building wheel", "Installing collected", "Processing ")
_BUILD_STEP = re.compile(r"^\s*\[(\d+)/(\d+)\] ")
_WIDTH = 96
_CAUSES = (
    (r"No space left on device", "the disk is full: free some space and run this again"),
    (
        r"NewConnectionError|NameResolutionError|ConnectTimeout|Max retries|ProxyError|SSLError"
        r"|Read timed out|Network is unreachable|Failed to establish|Could not connect",
        "the package index can't be reached: check the network (or pip's proxy and index"
        " settings) and run this again",
    ),
    (
        r"CMAKE_C(XX)?_COMPILER|compiler identification is unknown|ninja: build stopped"
        r"|CMake Error",
        "llama.cpp did not compile",
    ),
    (
        r"No matching distribution found",
        "the package index has no matching build for this Python and machine: try Python 3.11",
    ),
)


@dataclass(frozen=True, slots=True)
class Pip:
    """The pip of one environment. Everything it prints goes to the log."""

    python: Path
    log: Path

    def works(self) -> bool:
        """False in an environment that was left half made."""
        command = [str(self.python), "-m", "pip", "--version"]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def install(self, *arguments: str) -> None:
        """Raises SetupError with the cause in a line."""
        self.run("install", "--prefer-binary", *arguments)

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        """Shows the steps while they last. Raises SetupError with the cause in a line."""
        command = [str(self.python), "-m", "pip", *arguments, "--no-input", "--progress-bar=off"]
        with (
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, **(environ or {})},
            ) as process,
            self.log.open("a", encoding="utf-8") as log,
        ):
            assert process.stdout is not None
            log.write(f"\n$ pip {' '.join(arguments)}\n")
            lines = tuple(_followed(process.stdout, log))
        if process.returncode != 0:
            raise SetupError(f"{_cause(lines)} (details: {self.log})")

    def candidate(self, requirement: str) -> tuple[str, ...] | None:
        """What the package that pip would take requires in turn; None where there is none."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.json")
            dry = ("--dry-run", "--no-deps", "--ignore-installed", "--quiet")
            try:
                self.install(*dry, "--report", str(report), requirement)
            except SetupError:
                return None
            install = json.loads(report.read_text(encoding="utf-8"))["install"]
            return tuple(install[0]["metadata"].get("requires_dist", ()))


def _followed(output: IO[str], log: IO[str]) -> Iterator[str]:
    last_share = -1
    for line in output:
        log.write(line)
        yield line
        step = _BUILD_STEP.match(line)
        if step is not None:
            last_share = _show_build(int(step[1]), int(step[2]), last_share)
        elif line.startswith(_SHOWN):
            print(f"  {line.partition(' (from ')[0].strip()[:_WIDTH]}", flush=True)


def _show_build(done: int, total: int, last_share: int) -> int:
    """Every step on a terminal, every tenth of the whole elsewhere."""
    share = 10 * done // total
    if sys.stdout.isatty():
        print(f"\r  compiling: {done} of {total}", end="\n" if done == total else "", flush=True)
    elif share != last_share:
        print(f"  compiling: {done} of {total}", flush=True)
    return share


def _cause(lines: tuple[str, ...]) -> str:
    text = "".join(lines)
    for pattern, cause in _CAUSES:
        if re.search(pattern, text):
            return cause
    errors = [line.strip() for line in lines if line.startswith("ERROR")]
    return f"pip failed: {errors[-1][:200]}" if errors else "pip failed"
