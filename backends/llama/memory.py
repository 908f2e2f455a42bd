"""Owns what llama.cpp's memory of a sequence can be asked to do, by kind. Calls no native code.

What each kind does was read in llama.cpp (as llama-cpp-python 0.3.36 has it) and is tried in
tests/backends/llama/test_memory_kinds.py; the functions are named beside each claim.
"""

from dataclasses import dataclass
from enum import Enum, auto


class MemoryKind(Enum):
    """How a model remembers. PLAIN: one KV cell an id, all of them visible to all that follow.

    SLIDING_WINDOW: as PLAIN, but some layers see the last ids alone. RECURRENT: one state a
    sequence, which is of its last id. HYBRID: both, cells in some layers and a state in others.
    """

    PLAIN = auto()
    SLIDING_WINDOW = auto()
    RECURRENT = auto()
    HYBRID = auto()

    @property
    def has_state(self) -> bool:
        """Whether there is a state that only moves forward (llama_memory_recurrent)."""
        return self in (MemoryKind.RECURRENT, MemoryKind.HYBRID)

    @property
    def can_drop_suffix(self) -> bool:
        """Whether a sequence can go back to any earlier id: preempting needs that not, drafts do.

        A state can't (`llama_memory_recurrent::seq_rm` returns false and changes nothing).
        """
        return not self.has_state

    @property
    def can_share_prefix(self) -> bool:
        """Whether a sequence can begin with any first part of another one.

        A state comes along whole, whatever range is named (`llama_memory_recurrent::seq_cp`):
        HYBRID would go on from the wrong state without an error.
        """
        return not self.has_state

    @property
    def num_holders(self) -> int:
        """How many native sequences must hold each cell, for its slot alone counts as one.

        llama.cpp overwrites a cell that has left the window once a single sequence holds it, in
        a full-size cache too (`llama_kv_cache::find_slot`); a second holder keeps it.
        """
        return 2 if self is MemoryKind.SLIDING_WINDOW else 1

    @property
    def prefers_neighbours(self) -> bool:
        """Whether a batch's slots should be consecutive and ascending.

        RECURRENT is computed in runs of such slots, one pass over the weights each
        (`llama_batch_allocr::split_equal`, sequential).
        """
        return self is MemoryKind.RECURRENT


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What llama.cpp tells of a model. `sliding_window` is in tokens, None without one."""

    is_recurrent: bool
    is_hybrid: bool
    sliding_window: int | None

    def kind(self, window: int) -> MemoryKind:
        """The kind in a context of `window` tokens: nothing slides out of a window as long."""
        if self.is_recurrent:
            return MemoryKind.RECURRENT
        if self.is_hybrid:
            return MemoryKind.HYBRID
        if self.sliding_window is not None and self.sliding_window <= window:
            return MemoryKind.SLIDING_WINDOW
        return MemoryKind.PLAIN
