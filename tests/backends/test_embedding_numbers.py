"""What is made of the numbers that an embedding engine pooled."""

from dataclasses import replace

import numpy as np
import pytest

from backends.embedding import EmbeddingCard
from backends.embedding_inputs import finished
from core.errors import EngineFailed

CARD = EmbeddingCard("model", 3, 8, 10, True, False, "build", "")


@pytest.mark.parametrize("is_normalized", [True, False])
@pytest.mark.parametrize("broken", ["nan", "inf", "-inf"])
def test_what_is_no_number_is_an_error_and_no_vector(broken: str, is_normalized: bool) -> None:
    card = replace(CARD, is_normalized=is_normalized)
    pooled = np.array([0.5, float(broken), 1.0], np.float32)
    with pytest.raises(EngineFailed) as caught:
        finished(pooled, card)
    assert str(caught.value) == f"the model's numbers leave no vector: some are {broken}"


def test_so_is_a_score() -> None:
    card = replace(CARD, num_dimensions=1, is_normalized=False, ranks_pairs=True)
    with pytest.raises(EngineFailed, match=r"leave no score: some are nan"):
        finished(np.array([np.nan], np.float32), card)


def test_the_largest_and_the_smallest_numbers_make_a_vector_of_length_1() -> None:
    largest, smallest = np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
    for number in (largest, -largest, smallest):
        vector = finished(np.full(3, number, np.float32), CARD)
        np.testing.assert_allclose(np.linalg.norm(vector), 1.0, rtol=1e-6)
    zeros = np.zeros(3, np.float32)
    np.testing.assert_array_equal(finished(zeros, CARD), zeros)
