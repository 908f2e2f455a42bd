"""Owns one sequence as the scheduler sees it: its ids and how many of them are computed."""

from dataclasses import dataclass, field
from enum import Enum, auto


class Phase(Enum):
    """WAITING has no slot; PREFILL has one, and several ids to compute; DECODE has one id to."""

    WAITING = auto()
    PREFILL = auto()
    DECODE = auto()


@dataclass(slots=True, eq=False)
class Sequence:
    """`token_ids` are prompt and output together; the first `num_computed` are in the KV cache."""

    key: int
    token_ids: list[int]
    slot: int | None = None
    num_computed: int = 0
    num_prompt: int = field(init=False)

    def __post_init__(self) -> None:
        if not self.token_ids:
            raise ValueError("a sequence needs at least one id")
        self.num_prompt = len(self.token_ids)

    @property
    def num_pending(self) -> int:
        """Ids that are known but not yet computed; the last of them yields the next id."""
        return len(self.token_ids) - self.num_computed

    @property
    def num_output(self) -> int:
        return len(self.token_ids) - self.num_prompt

    @property
    def phase(self) -> Phase:
        if self.slot is None:
            return Phase.WAITING
        return Phase.DECODE if self.num_pending == 1 else Phase.PREFILL
