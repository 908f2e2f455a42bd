"""Owns what a scheduler has to share out, as one value."""

from dataclasses import dataclass

# LLAMA_MAX_SEQ: llama.cpp tells no more sequences apart.
_MOST_SLOTS = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scheduler has to share out, in tokens and sequences.

    A step holds at most `batch_tokens`; beside running sequences at most `prefill_tokens` of them
    are prompt, which bounds the gap between their tokens. `reuse` is whether the memory can share
    and drop cells: prefixes and drafts need it. Drafts are made while at most `max_drafting` run.
    With `max_parked`, idle prefixes beyond `max_idle` cells are kept in ordinary memory.
    """

    num_cells: int
    max_running: int
    batch_tokens: int
    prefill_tokens: int
    reuse: bool = True
    max_drafting: int = 0
    max_idle: int = 0
    max_parked: int = 0

    def __post_init__(self) -> None:
        if self.batch_tokens < self.max_running:
            raise ValueError(
                f"a batch of {self.batch_tokens} can't decode {self.max_running} sequences"
            )
        if self.num_cells < 1 or self.max_running < 1:
            raise ValueError("a cache needs a cell, and a sequence to run")
        if self.prefill_tokens < 1:
            raise ValueError(f"a budget of {self.prefill_tokens} tokens computes no prompt")

    @property
    def num_slots(self) -> int:
        """A running sequence may need a second slot, for the prefix that it shares with nobody
        live; one more each keeps prefixes for later."""
        if not self.reuse:
            return self.max_running
        return min(3 * self.max_running, max(2 * self.max_running, _MOST_SLOTS))
