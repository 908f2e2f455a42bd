"""Owns how much a model is to think before it answers, as a value. Knows no format and no HTTP."""

from dataclasses import dataclass
from enum import StrEnum


class Effort(StrEnum):
    """How hard a model is to think, in OpenAI's words."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"


@dataclass(frozen=True, slots=True)
class Thinking:
    """`budget` is the most tokens that are thought; then the block of thoughts is closed and the
    answer begins. What is None is left to the model.
    """

    effort: Effort | None = None
    budget: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget < 0:
            raise ValueError(f"a budget of {self.budget} tokens is below 0")
