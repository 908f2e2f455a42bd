"""Owns what is asked of every server alike, and what a server's kind is. Starts nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


class ServerUnavailable(Exception):
    """This server can't take part here; the message says why, in a line."""


# What a model is called where it is not known by its file's name.
MODEL = "bench"


@dataclass(frozen=True, slots=True)
class Behind:
    """The server that another one stands in front of. `kind` is what `upstreams.toml` calls it."""

    kind: str
    port: int


@dataclass(frozen=True, slots=True)
class Setup:
    """The same for all servers of a case. `slot_tokens` is a prompt and its answer together."""

    model: Path
    num_slots: int
    slot_tokens: int
    threads: int
    # Where our own server's files are.
    checkout: Path
    # Variables of our own server, where a case is about one.
    settings: Mapping[str, str] = field(default_factory=dict)
    # Where what a server has to read is written to.
    folder: Path = Path()
    behind: Behind | None = None

    @property
    def kv_tokens(self) -> int:
        return self.num_slots * self.slot_tokens


@dataclass(frozen=True, slots=True)
class Launch:
    """How a process is started, and when it is ready: `ready_path` answers 200."""

    command: tuple[str, ...]
    environ: Mapping[str, str]
    ready_path: str


class Server(Protocol):
    """One kind of server."""

    # What a request to it says besides: the model's name, or that an answer must not end early.
    @property
    def body(self) -> Mapping[str, Any]: ...

    def launch(self, setup: Setup, port: int) -> Launch:
        """Raises ServerUnavailable."""
        ...


def clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Without the settings of a server that the user runs, and without ./run.sh's own path."""
    return {
        name: text
        for name, text in environ.items()
        if not name.startswith("JARVIS_") and name != "PYTHONPATH"
    }
