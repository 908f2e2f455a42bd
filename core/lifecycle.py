"""Owns the states an engine passes through and what it tells of its loading. Starts nothing."""

from dataclasses import dataclass
from enum import StrEnum


class EngineState(StrEnum):
    """LOADING → READY → DRAINING → CLOSED, and FAILED from any of the first three."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """A step of loading in words, and its share done (0 to 1; None where it can't be known)."""

    step: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """What `/health/ready` shows. `reason` is a line for people, set when the state is FAILED."""

    state: EngineState
    engine: str
    progress: LoadProgress | None = None
    reason: str | None = None
