"""Owns one sequence as the scheduler sees it: its ids and how many of them are computed."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum, auto

from backends.llama.drafting import Drafter
from backends.llama.prefix_tree import Node


class Phase(Enum):
    """WAITING has no slot; PREFILL has one, and several ids to compute; DECODE has one id to."""

    WAITING = auto()
    PREFILL = auto()
    DECODE = auto()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A sequence as it comes. Keys grow with arrival; the lower `priority` goes first.

    `salt` keeps prefixes apart: they are shared among sequences of the same salt alone. With
    `scores_prompt`, the logits of all its prompt are wanted, so its salt must be its own.
    """

    key: int
    prompt_ids: tuple[int, ...]
    max_tokens: int
    priority: int = 0
    salt: Hashable = None
    scores_prompt: bool = False
    can_draft: bool = True

    def __post_init__(self) -> None:
        if not self.prompt_ids or self.max_tokens < 1:
            raise ValueError("a sequence needs at least one id, and one to generate")

    @property
    def num_cells(self) -> int:
        """What it takes at most: the last generated id is never computed."""
        return len(self.prompt_ids) + self.max_tokens - 1


@dataclass(slots=True, eq=False)
class Sequence:
    """`token_ids` are prompt and output together; the first `num_computed` are in the KV cache.

    Those up to the end of `node` are in the prefix tree, which may share them; the sequence alone
    holds the others. `num_cached` are the ids of the prompt that were found computed at first.
    """

    arrival: Arrival
    token_ids: list[int] = field(init=False)
    slot: int | None = None
    node: Node | None = None
    num_computed: int = 0
    num_cached: int | None = None
    drafter: Drafter | None = None

    def __post_init__(self) -> None:
        self.token_ids = list(self.arrival.prompt_ids)

    @property
    def key(self) -> int:
        return self.arrival.key

    @property
    def order(self) -> tuple[int, int]:
        """Who comes first: by priority, then by arrival."""
        return self.arrival.priority, self.arrival.key

    @property
    def num_pending(self) -> int:
        """Ids that are known but not yet computed; the last of them yields the next id."""
        return len(self.token_ids) - self.num_computed

    @property
    def must_score(self) -> bool:
        """Whether the next id to compute is of a prompt whose scores are wanted.

        They were given with the first output: one that gives way later computes without them.
        """
        if not self.arrival.scores_prompt or self.num_output:
            return False
        return self.num_computed < len(self.arrival.prompt_ids) - 1

    @property
    def num_output(self) -> int:
        return len(self.token_ids) - len(self.arrival.prompt_ids)

    @property
    def num_left(self) -> int:
        """How many more ids it may generate."""
        return self.arrival.max_tokens - self.num_output

    @property
    def num_in_tree(self) -> int:
        return self.node.end if self.node else 0

    @property
    def num_own(self) -> int:
        """KV cells that nobody else can hold."""
        return self.num_computed - self.num_in_tree

    @property
    def phase(self) -> Phase:
        if self.slot is None:
            return Phase.WAITING
        return Phase.DECODE if self.num_pending == 1 else Phase.PREFILL
