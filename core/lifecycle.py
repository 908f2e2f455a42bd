"""Owns the states an engine passes through and what it tells of its loading. Starts nothing."""

from dataclasses import dataclass
from enum import StrEnum


class EngineState(StrEnum):
    """LOADING → READY → DRAINING → CLOSED, and FAILED from any of the first three. An engine that
    died is LOADING again while it is brought back; FAILED is for good.
    """

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
    """What `/health/ready` shows. `reason` is a line for people: why the state is FAILED, or why an
    engine is loaded once more. `num_restarts` counts how often it was brought back.
    """

    state: EngineState
    engine: str
    progress: LoadProgress | None = None
    reason: str | None = None
    num_restarts: int = 0
