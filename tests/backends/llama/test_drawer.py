"""Draws are those of the definition, whatever a plan asks for; scores are of the raw logits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import TokenRequest
from backends.llama.drawer import Draw, Drawer, is_plain, scored
from core.drawing import Row
from core.errors import EngineFailed
from core.noise import gumbel_noise, noise_key
from core.sampling import SamplingPlan, Seed
from tests.definition import probabilities, softmax

NUM_IDS = 16
END_IDS = frozenset({3, 5})
PROMPT = (1, 2, 2, 9)
IDS = st.integers(0, NUM_IDS - 1)


def drawer(plan: SamplingPlan, num_logprobs: int | None = None) -> Drawer:
    request = TokenRequest("r", PROMPT, 99, END_IDS, plan, num_logprobs=num_logprobs)
    return Drawer(request, None, np.random.default_rng(0))


@st.composite
def plans(draw: st.DrawFn) -> SamplingPlan:
    allowed = draw(st.none() | st.lists(IDS, min_size=10, unique=True))
    banned = draw(st.lists(st.lists(IDS, min_size=1, max_size=3), max_size=2))
    bias = draw(st.dictionaries(IDS, st.floats(-5, 5, width=32), max_size=4))
    return SamplingPlan(
        temperature=draw(st.sampled_from([0.0, 1e-3, 0.5, 1.0, 2.0])),
        top_p=draw(st.sampled_from([0.2, 0.9, 1.0])),
        top_k=draw(st.sampled_from([None, 1, 3, 40])),
        min_p=draw(st.sampled_from([0.0, 0.1])),
        presence_penalty=draw(st.sampled_from([-1.0, 0.0, 0.8])),
        frequency_penalty=draw(st.sampled_from([-0.5, 0.0, 0.7])),
        repetition_penalty=draw(st.sampled_from([0.8, 1.0, 1.7])),
        logit_bias=tuple(bias.items()),
        allowed_ids=None if allowed is None else tuple(allowed),
        banned_sequences=tuple(map(tuple, banned)),
        min_tokens=draw(st.integers(0, 4)),
        seed=Seed(draw(st.integers(-99, 99)), draw(st.integers(0, 3))),
    )


@pytest.mark.timeout(60)
@settings(max_examples=400, deadline=None, derandomize=True)
@given(plans(), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 6.0]))
def test_each_draw_is_the_one_that_the_definition_gives(
    plan: SamplingPlan, seed: int, spread: float
) -> None:
    random = np.random.default_rng(seed)
    under_test, output = drawer(plan), list[int]()
    for position in range(8):
        row: Row = (random.normal(size=NUM_IDS) * spread).astype(np.float32)
        before = row.copy()
        chances = probabilities(row, plan, PROMPT, output, END_IDS)
        assert plan.seed is not None
        noise = gumbel_noise(noise_key(plan.seed, position), np.arange(NUM_IDS))
        with np.errstate(divide="ignore"):
            expected = int((np.log(chances) + (0 if plan.is_greedy else noise)).argmax())
        assert under_test.draw(row) == Draw(expected, None)
        assert (row == before).all(), "the rows are llama.cpp's own memory"
        output.append(expected)


def test_unseeded_draws_stay_within_what_the_definition_allows() -> None:
    plan = SamplingPlan(top_k=3, presence_penalty=2.0)
    row: Row = np.linspace(2.0, 0.0, NUM_IDS, dtype=np.float32)
    under_test, output = drawer(plan), list[int]()
    for _ in range(60):
        chances = probabilities(row, plan, PROMPT, output, END_IDS)
        output.append(under_test.draw(row).token_id)
        assert chances[output[-1]] > 0
    assert len(set(output)) > 3


def test_banned_sequences_of_several_lengths_look_back_as_far_as_each_needs() -> None:
    plan = SamplingPlan(temperature=0.0, banned_sequences=((4, 5), (1, 4, 6), (9,)))
    under_test = drawer(plan)
    wanted = [1, 4, 5, 4, 6, 9]
    found = []
    for token_id in wanted:
        row: Row = np.zeros(NUM_IDS, dtype=np.float32)
        row[token_id], row[2] = 2.0, 1.0
        found.append(under_test.draw(row).token_id)
    # 5 follows 4; 6 follows 4 too, but that does not follow 1; 9 never comes.
    assert found == [1, 4, 2, 4, 6, 2]


class CountedIds(tuple[int, ...]):
    """Ids that know how often any were looked at."""

    num_looks = 0

    def __getitem__(self, place: Any) -> Any:
        CountedIds.num_looks += 1
        return super().__getitem__(place)


def test_banned_sequences_that_cannot_follow_cost_a_draw_nothing() -> None:
    sequences = tuple(CountedIds((7, 8, last)) for last in range(NUM_IDS))
    under_test = drawer(SamplingPlan(temperature=0.0, banned_sequences=sequences))
    before = CountedIds.num_looks
    row: Row = np.arange(NUM_IDS, dtype=np.float32)
    assert {under_test.draw(row).token_id for _ in range(5)} == {NUM_IDS - 1}
    assert CountedIds.num_looks == before


@pytest.mark.parametrize("num_top", [0, 1, 5, NUM_IDS, 20])
def test_scores_are_the_log_softmax_of_the_raw_row(num_top: int) -> None:
    plan = SamplingPlan(temperature=0.0, logit_bias=((7, 50.0),), repetition_penalty=2.0)
    row: Row = np.random.default_rng(1).normal(size=NUM_IDS).astype(np.float32)
    score = drawer(plan, num_top).draw(row).score
    expected = np.log(softmax(row.astype(np.float64)))
    assert score is not None
    assert score.token_id == 7
    assert score.logprob == pytest.approx(expected[7], abs=1e-6)
    assert score.rank == int((row >= row[7]).sum())
    best = np.argsort(-row)[:num_top]
    assert [token_id for token_id, _ in score.top] == best.tolist()
    assert [logprob for _, logprob in score.top] == pytest.approx(expected[best], abs=1e-6)


def test_of_equal_logits_the_lower_id_is_better_and_masked_ones_are_left_out() -> None:
    row: Row = np.array([0.0, 1.0, -np.inf, 1.0, 0.0, 0.0], dtype=np.float32)
    assert [i for i, _ in scored(row, 1, 4).top] == [1, 3, 0, 4]
    assert [i for i, _ in scored(row, 4, 6).top] == [1, 3, 0, 4, 5]
    assert (scored(row, 3, 0).rank, scored(row, 4, 0).rank) == (2, 5)


@pytest.mark.parametrize(
    "plan",
    [SamplingPlan(temperature=0.0), SamplingPlan(), SamplingPlan(seed=Seed(1), top_p=0.9)],
)
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_row_that_leaves_nothing_to_draw_fails_its_own_sequence(
    plan: SamplingPlan, broken: float
) -> None:
    row: Row = np.zeros(NUM_IDS, dtype=np.float32)
    masked = replace(plan, logit_bias=((2, 1.0),), allowed_ids=(2,), banned_sequences=((2,),))
    with pytest.raises(EngineFailed, match="no id to draw"):
        drawer(masked).draw(row)
    row[7] = broken
    with pytest.raises(EngineFailed, match="no id to draw"):
        drawer(plan).draw(row)


def test_plain_requests_need_no_drawer() -> None:
    greedy = SamplingPlan(temperature=0.0)
    assert is_plain(TokenRequest("r", (1,), 1, END_IDS, greedy))
    assert not is_plain(TokenRequest("r", (1,), 1, END_IDS, SamplingPlan()))
    assert not is_plain(TokenRequest("r", (1,), 1, END_IDS, greedy, num_logprobs=0))
    assert not is_plain(
        TokenRequest("r", (1,), 1, END_IDS, SamplingPlan(temperature=0.0, min_tokens=1))
    )
