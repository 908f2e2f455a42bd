"""Owns what one measurement is as a line of JSON, and reading such lines back."""

from collections.abc import Iterator
from pathlib import Path

import msgspec


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """One server in one round of a case. Rates in tokens a second, times in seconds."""

    case: str
    model: str
    round: int
    server: str
    # Whether the others of the case are compared with it.
    is_first: bool
    # The server that it stands in front of: what that one takes is not in its figures.
    behind: str | None = None
    num_clients: int
    num_tokens: int
    num_prompt_tokens: int = 0
    num_cached_tokens: int | None = None
    num_answers: int = 0
    # Answers with an error, or with another number of tokens than was asked for.
    num_wrong: int = 0
    wall_s: float = 0.0
    tokens_per_s: float = 0.0
    decode_tokens_per_s: float | None = None
    first_p50_s: float | None = None
    first_p95_s: float | None = None
    gap_p50_s: float | None = None
    gap_p99_s: float | None = None
    cpu_s_per_1k_tokens: float | None = None
    peak_memory_mib: float | None = None
    client_cpu_s: float | None = None
    # What the case's other servers, which were idle, took meanwhile.
    idle_cpu_s: float | None = None
    # What neither server nor client used of the machine, and yet was used: 0 on a quiet one.
    others_cpu_share: float | None = None
    first_error: str | None = None


def write_line(measurement: Measurement, path: Path) -> None:
    """Appends it."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(measurement) + b"\n")


def read_lines(path: Path) -> Iterator[Measurement]:
    """Raises OSError, msgspec.DecodeError."""
    for line in path.read_bytes().splitlines():
        if line.strip():
            yield msgspec.json.decode(line, type=Measurement)
