"""Owns which servers are asked, and their lives: ours, with an engine, a model, some settings."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.servers.base import Launch, clean_environ
from benchmarks.servers.process import HOST, free_port, started

_ROOT = Path(__file__).resolve().parents[1]
_NO_SETTINGS = _ROOT / "benchmarks" / "servers" / "no_settings.env"


@dataclass(frozen=True, slots=True)
class Subject:
    """One server to ask. `label` names it in tables; `settings` are variables of it."""

    label: str
    engine: str
    model: str
    settings: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def running(subject: Subject, log_path: Path) -> Iterator[str]:
    """Its base URL, once it is ready. Raises ServerUnavailable."""
    port = free_port()
    flags = ("--host", HOST, "--port", str(port), "--env-file", str(_NO_SETTINGS))
    chosen = ("--engine", subject.engine, "--model", subject.model)
    command = (sys.executable, str(_ROOT / "main.py"), *flags, *chosen)
    environ = {**clean_environ(os.environ), **subject.settings}
    with started(Launch(command, environ, "/health/ready"), port, log_path):
        yield f"http://{HOST}:{port}"
