"""Owns what a step is, as values: what to do to the KV cache first, and what to compute then."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """Let `target` hold the cells of `source` at positions `start` to `end`, too."""

    source: int
    target: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Copy:
    """Fill cells of `target`, which holds none, with what `source` has up to position `end`."""

    source: int
    target: int
    end: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Take `slot` off its cells from position `start` on, or up to `end`."""

    slot: int
    start: int
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A run of positions that was copied out of the KV cache at once, under a name of its own."""

    id: int
    start: int
    end: int

    @property
    def num_tokens(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Park:
    """Copy the span's positions of `slot` to ordinary memory. The slot keeps its cells."""

    slot: int
    span: Span


@dataclass(frozen=True, slots=True)
class Restore:
    """Fill cells of `slot` at positions `start` to `end` with what the span holds.

    The whole span needs cells for a moment.
    """

    slot: int
    span: Span
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Forget a span."""

    span: Span


MemoryOperation = Share | Copy | Drop | Park | Restore | Discard


@dataclass(frozen=True, slots=True)
class Work:
    """Compute `token_ids` at positions `start`… of `slot`.

    Ids are drawn from the logits of the last `num_rows` of them: none inside a prompt, one at its
    end and for a decoded id, more where the ids after the first are a draft. With `scores_all`,
    the logits of all ids are wanted, to say what the model thought of the prompt.
    """

    key: int
    slot: int
    start: int
    token_ids: tuple[int, ...]
    num_rows: int
    scores_all: bool = False

    @property
    def num_logits(self) -> int:
        """For how many ids, the last ones, logits are computed."""
        return len(self.token_ids) if self.scores_all else self.num_rows

    @property
    def draft(self) -> tuple[int, ...]:
        """Guessed ids, which hold only as far as the logits confirm them."""
        return self.token_ids[1:] if self.num_rows > 1 else ()


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Do all `operations` in order first, then compute all `work` in one batch."""

    operations: tuple[MemoryOperation, ...]
    work: tuple[Work, ...]

    @property
    def num_tokens(self) -> int:
        return sum(len(item.token_ids) for item in self.work)
