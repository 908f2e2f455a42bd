"""Owns the arithmetic on finished vectors: shortening, length 1, cosines, relevance. In float64."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from backends.embedding import Vector
from core.errors import EngineFailed

Matrix = NDArray[np.float64]


def stacked(vectors: Sequence[Vector], num_numbers: int) -> Matrix:
    """A row for each vector. Raises EngineFailed for one that no client could read."""
    rows = np.asarray(vectors, np.float64).reshape(len(vectors), -1)
    if rows.shape[1] != num_numbers or not np.isfinite(rows).all():
        raise EngineFailed("the engine gave a vector that is not one of finite numbers")
    return rows


def shortened(rows: Matrix, num_dimensions: int | None, *, is_normalized: bool) -> Matrix:
    """The first numbers of each row, which then has length 1 again where the model's rows do.

    A row of zeros stays one.
    """
    kept = rows if num_dimensions is None else rows[:, :num_dimensions]
    return _unit(kept) if is_normalized else kept


def cosines(rows: Matrix, others: Matrix) -> list[float]:
    """Of each row with its own of `others`, or all with the one that is there. -1 to 1."""
    products = (_unit(rows) * _unit(others)).sum(axis=1)
    return [float(each) for each in np.clip(products, -1.0, 1.0)]


def sigmoids(logits: Matrix) -> list[float]:
    """Of the one number in each row, without overflow. 0 to 1."""
    return [float(each) for each in (0.5 * (1.0 + np.tanh(0.5 * logits[:, 0])))]


def _unit(rows: Matrix) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    divided: Matrix = rows / np.where(lengths == 0.0, 1.0, lengths)
    return divided
