"""Owns what an embedding engine may be given, and what its vectors are made of. Knows no engine."""

from collections.abc import Sequence

import numpy as np

from backends.embedding import EmbeddingCard, Vector
from core.errors import ContextLengthExceeded, EngineFailed, InvalidValue

# Without a cache, a whole input is computed at once, and its attention takes memory by its square.
LONGEST_WINDOW = 8192


def refuse_invalid(inputs: Sequence[tuple[int, ...]], card: EmbeddingCard) -> None:
    """The seam's own guard: an engine may die of such inputs. Checked above."""
    for token_ids in inputs:
        if not token_ids:
            raise InvalidValue("an input needs at least one id")
        if len(token_ids) > card.context_window:
            raise ContextLengthExceeded(
                f"the context window holds {card.context_window} tokens; an input has"
                f" {len(token_ids)}"
            )
        if min(token_ids) < 0 or max(token_ids) >= card.vocabulary_size:
            raise InvalidValue(f"an id is outside the vocabulary of {card.vocabulary_size}")


def finished(pooled: Vector, card: EmbeddingCard) -> Vector:
    """What an engine pooled, as the model's card promises it. Raises EngineFailed where a number of
    it is none.
    """
    vector = pooled.astype(np.float32)
    is_number = np.isfinite(vector)
    if not is_number.all():
        broken = vector[~is_number][0]
        kind = "score" if card.ranks_pairs else "vector"
        raise EngineFailed(f"the model's numbers leave no {kind}: some are {broken}")
    if not card.is_normalized:
        return vector
    # In double, so that the length of a long vector is 1 to the last bit but one.
    wide = vector.astype(np.float64)
    length = float(np.sqrt(wide @ wide))
    return vector if length == 0.0 else (wide / length).astype(np.float32)
