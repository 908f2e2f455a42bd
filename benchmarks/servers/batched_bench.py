"""Runs llama-batched-bench: how fast the library decodes, with no server around it."""

import json
import subprocess
from dataclasses import dataclass

from benchmarks.loads import Load, Prompts
from benchmarks.peers_build import PeersBuildError, built
from benchmarks.servers.base import ServerUnavailable, Setup


@dataclass(frozen=True, slots=True)
class Decoded:
    """Tokens of all sequences together, and their rate while all of them decode."""

    num_tokens: int
    num_prompt_tokens: int
    wall_s: float
    tokens_per_s: float


def decoded(setup: Setup, load: Load) -> Decoded:
    """The sizes of `load`, once. Raises ServerUnavailable."""
    if not isinstance(load, Prompts):
        raise ServerUnavailable("llama-batched-bench measures prompts of one size")
    try:
        program = built().path("llama-batched-bench")
    except PeersBuildError as error:
        raise ServerUnavailable(str(error)) from error
    options = {
        "--model": setup.model,
        "--ctx-size": setup.kv_tokens,
        "--threads": setup.threads,
        "-npp": load.words + load.shared,
        "-ntg": load.tokens,
        "-npl": load.num_clients,
        "--output-format": "jsonl",
    }
    flags = [str(part) for pair in options.items() for part in pair]
    # Its results are lines of its log.
    done = subprocess.run(
        [str(program), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        raise ServerUnavailable(f"ended with code {done.returncode}: {done.stdout[-200:].strip()}")
    found = json.loads(lines[-1])
    return Decoded(
        num_tokens=found["tg"] * found["pl"],
        num_prompt_tokens=found["pp"] * found["pl"],
        wall_s=found["t"],
        tokens_per_s=found["speed_tg"],
    )
