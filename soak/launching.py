"""Owns how the server of a soak is started and ended, and what is left of it then."""

import json
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.places import ROOT
from benchmarks.servers.base import Setup
from benchmarks.servers.kinds import SERVERS
from benchmarks.servers.process import RunningServer, free_port, started
from soak.watch import tree

NUM_SLOTS, WINDOW = 16, 1024
_VLLM_BLOCKS = 256
_KINDS = {"llama_cpp": "ours", "vllm": "ours-vllm"}
# What is kept of computed prompts: memory that is used at some time for the first time would look
# like a leak.
_OF_ENGINE = {
    "llama_cpp": {"JARVIS_LLAMA_PREFIX_MIB": "32"},
    "vllm": {"JARVIS_VLLM_EXTRA_ARGS": json.dumps({"num_gpu_blocks_override": _VLLM_BLOCKS})},
}
_END_TIMEOUT_S = 90
_THREADS = 2


@dataclass(frozen=True, slots=True)
class Ending:
    """What SIGTERM gave. `num_left`: processes of the server that were still there."""

    code: int | None
    num_left: int


def launched(engine: str, settings: Mapping[str, str], log: Path) -> RunningServer:
    """Ready to answer. Raises ServerUnavailable."""
    setup = Setup(
        model=ROOT / "models" / "jarvis-tiny.gguf",
        num_slots=NUM_SLOTS,
        slot_tokens=WINDOW,
        threads=_THREADS,
        checkout=ROOT,
        settings={**_settings(engine), **settings},
    )
    port = free_port()
    return started(SERVERS[_KINDS[engine]].launch(setup, port), port, log)


def _settings(engine: str) -> dict[str, str]:
    """Small enough that every limit is met, and that what is kept is full after the warm-up."""
    settings = {
        "JARVIS_MAX_QUEUE": "24",
        "JARVIS_REQUEST_TIMEOUT_S": "120",
        "JARVIS_STALL_TIMEOUT_S": "10",
        "JARVIS_RESPONSE_STORE_COUNT": "100",
        "JARVIS_RESPONSE_STORE_MIB": "1",
    }
    return {**settings, **_OF_ENGINE[engine]}


def ended(server: RunningServer) -> Ending:
    """By SIGTERM. What does not end by itself is counted, and then killed."""
    before = tree(server.process.pid)
    server.process.send_signal(signal.SIGTERM)
    try:
        code: int | None = server.process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        code = None
    children = [each for each in before if each.pid != server.process.pid]
    # What the kernel has yet to take down is no orphan.
    _, left = psutil.wait_procs(children, timeout=5)
    server.stop()
    for each in left:
        each.kill()
    return Ending(code, len(left))
