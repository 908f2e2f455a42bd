"""Owns where the benchmarks keep what they make, and which llama.cpp they are about."""

import os
from pathlib import Path

from scripts.setup.accelerators import Accelerator, for_llama
from scripts.setup.wishes import Purpose, wishes

ROOT = Path(__file__).resolve().parents[1]
_PACKAGE = "llama-cpp-python=="


def cache_dir() -> Path:
    """The project's cache folder, as the set-up finds it."""
    return wishes([], purpose=Purpose.BENCH, environ=os.environ, root=ROOT).cache_dir


def accelerator() -> Accelerator:
    """What llama.cpp is built for here."""
    return for_llama(wishes([], purpose=Purpose.BENCH, environ=os.environ, root=ROOT).accelerator)


def llama_version() -> str:
    """The version of llama-cpp-python that the project pins."""
    lines = (ROOT / "requirements-llama.txt").read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith(_PACKAGE)).removeprefix(_PACKAGE)


def peers_dir() -> Path:
    """Where the pinned version's own programs are built to."""
    return cache_dir() / "peers" / llama_version()


def models_dir() -> Path:
    """Where models with random weights are kept."""
    return cache_dir() / "bench-models"
