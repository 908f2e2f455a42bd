"""What the filters keep, and that draws follow the probabilities that are left."""

import numpy as np
import pytest

from core.drawing import Row, draw, draw_seeded, lowest_kept, scaled
from core.noise import gumbel_noise, noise_key, random_words
from core.sampling import SamplingPlan, Seed

ROW: Row = np.log(np.array([0.4, 0.3, 0.15, 0.1, 0.05], dtype=np.float32))
NUM_DRAWS = 4000


def kept(plan: SamplingPlan, row: Row = ROW) -> list[int]:
    ids: list[int] = np.flatnonzero(row >= lowest_kept(row, plan)).tolist()
    return ids


@pytest.mark.parametrize(
    ("plan", "ids"),
    [
        (SamplingPlan(), [0, 1, 2, 3, 4]),
        (SamplingPlan(min_p=0.3), [0, 1, 2]),
        (SamplingPlan(top_k=2), [0, 1]),
        (SamplingPlan(top_k=50), [0, 1, 2, 3, 4]),
        (SamplingPlan(top_p=0.5), [0, 1]),
        (SamplingPlan(top_p=0.39), [0]),
        (SamplingPlan(top_p=1e-9), [0]),
        (SamplingPlan(top_p=0.8), [0, 1, 2]),
        (SamplingPlan(min_p=1.0), [0]),
        # Of what min_p and top_k left, 0.4 and 0.3 are the whole, and 0.4 more than half of it.
        (SamplingPlan(top_k=2, top_p=0.56), [0]),
        (SamplingPlan(min_p=0.3, top_p=0.95), [0, 1, 2]),
        (SamplingPlan(min_p=0.3, top_k=4), [0, 1, 2]),
    ],
)
def test_what_filters_keep(plan: SamplingPlan, ids: list[int]) -> None:
    assert kept(plan) == ids


@pytest.mark.parametrize("plan", [SamplingPlan(top_k=1), SamplingPlan(top_p=0.3)])
def test_equal_logits_are_kept_together(plan: SamplingPlan) -> None:
    row = np.array([1.0, 3.0, 3.0, -1.0], dtype=np.float32)
    assert kept(plan, row) == [1, 2]


def test_masked_ids_are_never_kept_or_drawn() -> None:
    row = np.array([-np.inf, 1.0, -np.inf, 0.5], dtype=np.float32)
    random = np.random.default_rng(1)
    for plan in (SamplingPlan(), SamplingPlan(top_k=3), SamplingPlan(min_p=0.01, top_p=0.99)):
        assert {draw(row, plan, random) for _ in range(200)} == {1, 3}
        assert {draw_seeded(row, plan, Seed(5), at) for at in range(200)} == {1, 3}


def test_a_row_with_a_broad_nucleus_is_looked_through_to_its_end() -> None:
    row = np.linspace(0.0, -30.0, 5000, dtype=np.float32)
    plan = SamplingPlan(top_p=1 - 1e-9)
    weights = np.exp(row.astype(np.float64))
    expected = int(np.searchsorted(np.cumsum(weights), plan.top_p * weights.sum())) + 1
    assert len(kept(plan, row)) == expected > 1000


def chi_square(counts: dict[int, int], row: Row) -> float:
    weights = np.exp(row.astype(np.float64))
    expected = NUM_DRAWS * weights / weights.sum()
    return float(sum((counts.get(i, 0) - e) ** 2 / e for i, e in enumerate(expected)))


def test_draws_follow_the_probabilities() -> None:
    random = np.random.default_rng(7)
    free = [draw(ROW, SamplingPlan(), random) for _ in range(NUM_DRAWS)]
    by_seed = [draw_seeded(ROW, SamplingPlan(), Seed(at), 0) for at in range(NUM_DRAWS)]
    by_place = [draw_seeded(ROW, SamplingPlan(), Seed(3), at) for at in range(NUM_DRAWS)]
    by_choice = [draw_seeded(ROW, SamplingPlan(), Seed(3, at), 0) for at in range(NUM_DRAWS)]
    for drawn in (free, by_seed, by_place, by_choice):
        counts = {i: drawn.count(i) for i in range(ROW.size)}
        # The chance of more, with 4 degrees of freedom, is one in a thousand.
        assert chi_square(counts, ROW) < 18.47


def test_a_seeded_draw_depends_on_seed_choice_and_position_alone() -> None:
    row = np.zeros(50_000, dtype=np.float32)
    drawn = draw_seeded(row, SamplingPlan(), Seed(1), 0)
    assert drawn == draw_seeded(row, SamplingPlan(), Seed(1), 0)
    others = [(Seed(2), 0), (Seed(1, 1), 0), (Seed(1), 1), (Seed(-1), 0)]
    assert drawn not in {draw_seeded(row, SamplingPlan(), seed, at) for seed, at in others}


def test_noise_has_fixed_bits() -> None:
    """What a seed gives must not change from one version to the next."""
    key = noise_key(Seed(42, 1), 7)
    assert key == 763120910861176656
    words = random_words(key, np.array([0, 1, 151_935]))
    assert words.tolist() == [6820069821212235620, 5417833278018248330, 800079543590500582]
    assert gumbel_noise(key, np.array([0])).tolist() == pytest.approx(
        [0.004994278245291421], rel=1e-15
    )


def test_noise_of_an_id_is_that_of_any_row_it_stands_in() -> None:
    key = noise_key(Seed(-9), 3)
    assert (
        gumbel_noise(key, np.arange(1000))[500:] == gumbel_noise(key, np.arange(500, 1000))
    ).all()


def test_temperature_divides_in_float32() -> None:
    row = scaled(ROW, SamplingPlan(temperature=0.7))
    assert row.dtype == np.float32
    assert (row == ROW / np.float32(0.7)).all()
