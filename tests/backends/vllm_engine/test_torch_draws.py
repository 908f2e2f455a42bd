"""The torch form of a seeded draw is that of numpy, bit for bit."""

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.drawing import draw_seeded
from core.noise import gumbel_noise, noise_key, random_words
from core.sampling import SamplingPlan, Seed

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]

# Here torch is there for vLLM's sake alone: it takes seconds to import.
torch: Any = importlib.import_module("torch")
torch_draws: Any = importlib.import_module("backends.vllm_engine.torch_draws")

KEYS = [0, 1, 2**63 - 1, 2**63, 2**64 - 1, noise_key(Seed(42, 1), 7)]


@pytest.mark.parametrize("key", KEYS)
def test_words_and_noise_are_the_same_bits(key: int) -> None:
    ids = np.array([0, 1, 2, 4095, 151_935, 2**31 - 1])
    keys = torch.tensor([[torch_draws._signed(key)]])
    words = torch_draws.random_words(keys, torch.tensor(ids))[0].numpy().astype(np.uint64)
    assert words.tolist() == random_words(key, ids).tolist()
    noise = torch_draws.gumbel_noise(keys, torch.tensor(ids))[0].numpy()
    assert noise == pytest.approx(gumbel_noise(key, ids), rel=1e-15)


@st.composite
def filters(draw: st.DrawFn) -> SamplingPlan:
    return SamplingPlan(
        top_p=draw(st.sampled_from([1e-6, 0.3, 0.8, 0.95, 0.9999, 1.0])),
        top_k=draw(st.sampled_from([None, 1, 2, 7, 100, 5000])),
        seed=Seed(draw(st.integers(-(2**63), 2**63 - 1)), draw(st.integers(0, 9))),
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(filters(), min_size=1, max_size=6),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.3, 3.0, 12.0]),
    st.integers(0, 100),
)
def test_any_rows_draw_the_same_ids(
    plans: list[SamplingPlan], seed: int, spread: float, position: int
) -> None:
    random = np.random.default_rng(seed)
    rows = (random.normal(size=(len(plans), 500)) * spread).astype(np.float32)
    rows[random.random(rows.shape) < 0.2] = -np.inf
    rows[:, :4] = rows.max()  # the best ones are equal
    expected, given_filters = [], []
    for plan, row in zip(plans, rows, strict=True):
        assert plan.seed is not None
        expected.append(draw_seeded(row, plan, plan.seed, position))
        key = noise_key(plan.seed, position)
        given_filters.append(torch_draws.Filters(plan.top_k, plan.top_p, key))
    assert torch_draws.draw_seeded(torch.tensor(rows), given_filters).tolist() == expected
