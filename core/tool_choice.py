"""Owns which of its tools a model may or must call, as a value. Knows no format and no HTTP."""

from dataclasses import dataclass
from enum import Enum, auto


class ToolMode(Enum):
    """AUTO: the model decides. NONE: it calls nothing. REQUIRED: it calls at least one tool. NAMED:
    it calls the one that is named.
    """

    AUTO = auto()
    NONE = auto()
    REQUIRED = auto()
    NAMED = auto()


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name` goes with NAMED. Without `is_parallel`, an answer holds one call at most."""

    mode: ToolMode = ToolMode.AUTO
    name: str | None = None
    is_parallel: bool = True

    def __post_init__(self) -> None:
        if (self.mode is ToolMode.NAMED) != (self.name is not None):
            raise ValueError("a name goes with the mode NAMED")

    @property
    def is_forced(self) -> bool:
        """Whether the answer must hold a call."""
        return self.mode in (ToolMode.REQUIRED, ToolMode.NAMED)
