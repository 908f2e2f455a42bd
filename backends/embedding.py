"""The embedding seam: what an engine that makes vectors takes and gives. Knows no text API.

Beside the token seam (backends/base.py): ids go in, one vector for each sequence comes back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.lifecycle import LoadProgress

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbeddingCard:
    """What a loaded embedding model is.

    `context_window` is the most tokens of one input, the model's special ones included.
    `vocabulary_size` bounds ids. `is_normalized` tells that its vectors have length 1, as the model
    itself asks. A `ranks_pairs` model gives one relevance score for two texts read together (a
    cross-encoder) and no vectors. `engine_build` and `weights_digest` are as in ModelCard.
    """

    name: str
    num_dimensions: int
    context_window: int
    vocabulary_size: int
    is_normalized: bool
    ranks_pairs: bool
    engine_build: str
    weights_digest: str


class InputEncoder(Protocol):
    """Text to ids, with the special ids the model was trained with around them. Blocking, safe from
    any thread. Never cuts.
    """

    def encode(self, text: str) -> tuple[int, ...]: ...

    def encode_pair(self, query: str, document: str) -> tuple[int, ...]:
        """Both texts as one input of a model that ranks pairs."""
        ...


class EmbeddingBackend(Protocol):
    """An engine that makes vectors. All methods are called from one event loop."""

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        """Loads the model. Raises ModelLoadError. `report` may be called from any thread."""
        ...

    @property
    def card(self) -> EmbeddingCard:
        """Raises EngineUnavailable before `start` has returned."""
        ...

    @property
    def encoder(self) -> InputEncoder:
        """Raises EngineUnavailable before `start` has returned."""
        ...

    @property
    def num_steps(self) -> int:
        """Grows with each batch that was computed, and with nothing else."""
        ...

    async def embed(self, request_id: str, inputs: Sequence[tuple[int, ...]]) -> list[Vector]:
        """A vector of `num_dimensions` for each input, in order; with a `ranks_pairs` model, one of
        a single score. Being cancelled aborts what has not begun.

        Each input has 1 to `context_window` valid ids: checked above. Raises EngineUnavailable or
        EngineFailed; the latter also where these inputs' vectors would not be of finite numbers,
        which ends no other call.
        """
        ...

    async def wait_failed(self) -> str:
        """Returns, with the reason in a line, when a started engine has died; else never."""
        ...

    async def close(self) -> None:
        """Ends what is running with EngineFailed, then all threads and processes. Idempotent."""
        ...
