"""Owns which servers are asked, and their lives: ours, with an engine, a model, some settings."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from benchmarks.servers.base import Launch, ServerUnavailable, clean_environ
from benchmarks.servers.process import HOST, free_port, started

_ROOT = Path(__file__).resolve().parents[1]
_EMBEDDING_TIMEOUT_S = 300
_POLL_TIMEOUT_S = 30
_POLL_S = 0.1
_NO_SETTINGS = _ROOT / "benchmarks" / "servers" / "no_settings.env"


@dataclass(frozen=True, slots=True)
class Subject:
    """One server to ask. `label` names it in tables; `settings` are variables of it. The embedding
    model, if there is one, is served beside the other.
    """

    label: str
    engine: str
    model: str
    settings: Mapping[str, str] = field(default_factory=dict)
    embedding_model: str | None = None


@contextmanager
def running(subject: Subject, log_path: Path) -> Iterator[str]:
    """Its base URL, once it is ready. Raises ServerUnavailable."""
    port = free_port()
    flags = ("--host", HOST, "--port", str(port), "--env-file", str(_NO_SETTINGS))
    chosen = ("--engine", subject.engine, "--model", subject.model)
    command = (sys.executable, str(_ROOT / "main.py"), *flags, *chosen)
    environ = {**clean_environ(os.environ), **subject.settings}
    if subject.embedding_model is not None:
        environ["JARVIS_EMBEDDING_MODEL"] = subject.embedding_model
    with started(Launch(command, environ, "/health/ready"), port, log_path):
        url = f"http://{HOST}:{port}"
        if subject.embedding_model is not None:
            _wait_for_embedding(url)
        yield url


def _wait_for_embedding(url: str) -> None:
    """Its state changes no status. Raises ServerUnavailable."""
    end_s = time.monotonic() + _EMBEDDING_TIMEOUT_S
    while time.monotonic() < end_s:
        told = httpx2.get(f"{url}/health/ready", timeout=_POLL_TIMEOUT_S).json()
        found = told.get("embedding") or {}
        if found.get("state") == "ready":
            return
        if found.get("state") == "failed":
            raise ServerUnavailable(found.get("reason") or "the embedding model failed")
        time.sleep(_POLL_S)
    raise ServerUnavailable(f"the embedding model is not ready after {_EMBEDDING_TIMEOUT_S} s")
