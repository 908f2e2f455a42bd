"""Owns what a scheduler has to share out, as one value."""

from dataclasses import dataclass

# LLAMA_MAX_SEQ is 256, and one of them is kept for parking.
MOST_SLOTS = 255


@dataclass(frozen=True, slots=True)
class Limits:
    """What a scheduler has to share out, in tokens, sequences and slots.

    A step holds at most `batch_tokens`; beside other sequences at most `prefill_tokens` of them are
    prompt, which bounds the gap between tokens and the wait for the first. `reuse` is whether the
    memory can share and drop cells: prefixes and drafts need it. Drafts are made while at most
    `max_drafting` run. There are never more than `most_slots` slots. Idle prefixes beyond
    `max_idle` cells and half of what live sequences hold are parked in ordinary memory, which takes
    `max_parked` ids. A step computes the logits of at most `max_scored` ids of prompts that are to
    be scored. With `slot_cells`, each slot has so many cells of its own; else all share
    `num_cells`.
    """

    num_cells: int
    max_running: int
    batch_tokens: int
    prefill_tokens: int
    reuse: bool = True
    max_drafting: int = 0
    most_slots: int = MOST_SLOTS
    max_idle: int = 0
    max_parked: int = 0
    slot_cells: int | None = None
    max_scored: int = 1 << 20

    def __post_init__(self) -> None:
        if self.reuse and not self.slot_cells and 2 * self.max_running > self.most_slots:
            raise ValueError(
                f"{self.most_slots} slots are too few for {self.max_running} sequences"
            )
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
        if not self.reuse or self.slot_cells:
            return self.max_running
        return min(3 * self.max_running, self.most_slots)
