"""Draws and scores on a real model: those of one sequence alone, whatever runs beside it."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from backends.base import TokenRequest
from backends.llama.backend import LlamaBackend
from backends.llama.options import LlamaOptions
from core.sampling import SamplingPlan, Seed
from core.scores import ScoredToken
from scripts.memory_models.models import make_model
from tests.backends.llama.test_memory_kinds import Bench, Passed, ids
from tests.engines import GREEDY, Engine
from tests.parity.sequences import Scored, scored

pytestmark = pytest.mark.engine

WILD = SamplingPlan(temperature=1.2, top_p=0.95, top_k=200, presence_penalty=0.3)
# Logits differ by rounding where batches differ.
NEAR = 1e-3


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(make_model("plain", tmp_path_factory.mktemp("models")))
    yield bench
    bench.reference.close()


@asynccontextmanager
async def opened(options: LlamaOptions) -> AsyncIterator[Engine]:
    backend = LlamaBackend(options, Passed())
    await backend.start(lambda _: None)
    try:
        yield Engine("llama", backend)
    finally:
        await backend.close()


def seeded(engine: Engine, rng: Random, seed: int, num_prompt: int, count: int) -> TokenRequest:
    prompt = tuple(ids(rng, num_prompt))
    return engine.request(prompt, count, sampling=replace(WILD, seed=Seed(seed)))


async def all_of(engine: Engine, requests: Sequence[TokenRequest]) -> list[Scored]:
    return list(await asyncio.gather(*(scored(engine, request) for request in requests)))


async def test_seeds_and_prompt_scores_are_the_same_for_those_that_gave_way(bench: Bench) -> None:
    """The cache holds two whole sequences of eight, which are all admitted by their prompts."""
    rng = Random(1)
    async with opened(bench.options(256, 8)) as engine:
        requests = [seeded(engine, rng, at, 30, 90) for at in range(8)]
        requests = [
            replace(request, num_prompt_logprobs=1 if at % 2 else None)
            for at, request in enumerate(requests)
        ]
        together = await all_of(engine, requests)
        alone = [await scored(engine, request) for request in requests]
    for one, other, request in zip(together, alone, requests, strict=True):
        assert one.token_ids == other.token_ids
        assert len(one.token_ids) == 90
        is_scored = request.num_prompt_logprobs is not None
        assert len(one.prompt_scores) == (29 if is_scored else 0)
        assert_near(one.prompt_scores, other.prompt_scores)


@pytest.mark.parametrize("speculates", [False, True])
async def test_a_seeded_answer_is_the_same_alone_and_among_thirty_one(
    bench: Bench, speculates: bool
) -> None:
    rng = Random(2)
    options = replace(bench.options(32 * 96, 32), speculates=speculates)
    async with opened(options) as engine:
        requests = [seeded(engine, rng, at, 1 + at, 50) for at in range(32)]
        alone = [await scored(engine, requests[at]) for at in (0, 17, 31)]
        together = await all_of(engine, requests)
    assert [together[at] for at in (0, 17, 31)] == alone


async def test_scores_are_the_log_softmax_of_all_logits(bench: Bench) -> None:
    prompt = tuple(ids(Random(3), 20))
    plan = replace(WILD, seed=Seed(4), logit_bias=((7, 30.0),))
    async with opened(bench.options(512, 4)) as engine:
        request = replace(engine.request(prompt, 24, sampling=plan), num_logprobs=5)
        answer = await scored(engine, request)
    rows = bench.reference.rows((*prompt, *answer.token_ids))
    assert_scores(answer.scores, answer.token_ids, rows[len(prompt) - 1 : -1], 5)


async def test_a_prompt_is_scored_in_chunks_beside_others_and_again(bench: Bench) -> None:
    """A step computes at most 64 ids of prompts; nothing is reused, and the scores are the same."""
    rng = Random(5)
    prompt = tuple(ids(rng, 230))
    async with opened(bench.options(2048, 8)) as engine:
        neighbours = [engine.request(tuple(ids(rng, 50)), 60) for _ in range(4)]
        asked = replace(engine.request(prompt, 3), num_prompt_logprobs=4)
        *_, first = await all_of(engine, [*neighbours, asked])
        steps = [step async for step in engine.backend.generate(replace(asked, id="again"))]
    assert {step.num_cached for step in steps} == {0}
    assert [bool(step.prompt_scores) for step in steps] == [True, *[False] * (len(steps) - 1)]
    rows = bench.reference.rows(prompt)
    for scores in (first.prompt_scores, steps[0].prompt_scores):
        assert_scores(scores, prompt[1:], rows[:-1], 4)


async def test_a_prompt_of_one_id_has_no_scores_and_one_of_two_has_one(bench: Bench) -> None:
    async with opened(bench.options(512, 4)) as engine:
        for length in (1, 2):
            request = engine.request(tuple(range(5, 5 + length)), 1)
            answer = await scored(engine, replace(request, num_prompt_logprobs=0))
            assert len(answer.prompt_scores) == length - 1
            assert len(answer.token_ids) == 1


async def test_sampled_and_greedy_sequences_share_steps(bench: Bench) -> None:
    rng = Random(6)
    async with opened(bench.options(1024, 8)) as engine:
        prompts = [tuple(ids(rng, 12)) for _ in range(4)]
        greedy = [engine.request(prompt, 40, sampling=GREEDY) for prompt in prompts]
        free = [engine.request(prompt, 40, sampling=WILD) for prompt in prompts]
        answers = await all_of(engine, [*greedy, *free])
    for prompt, answer in zip(prompts, answers[:4], strict=True):
        assert answer.token_ids == bench.reference.answer(prompt, 40).token_ids
    assert len({answer.token_ids for answer in answers}) == 8


def assert_near(left: Sequence[ScoredToken], right: Sequence[ScoredToken]) -> None:
    assert [score.token_id for score in left] == [score.token_id for score in right]
    assert [score.logprob for score in left] == pytest.approx(
        [score.logprob for score in right], abs=NEAR
    )


def assert_scores(
    scores: Sequence[ScoredToken],
    token_ids: Sequence[int],
    rows: NDArray[np.float32],
    num_top: int,
) -> None:
    """One for each id, from the row of logits that it followed."""
    assert [score.token_id for score in scores] == list(token_ids)
    for score, row in zip(scores, rows.astype(np.float64), strict=True):
        logprobs = row - row.max() - np.log(np.exp(row - row.max()).sum())
        assert score.logprob == pytest.approx(logprobs[score.token_id], abs=NEAR)
        lead = logprobs - logprobs[score.token_id]
        assert (lead > NEAR).sum() + 1 <= score.rank <= (lead > -NEAR).sum()
        assert [p for _, p in score.top] == pytest.approx(
            np.sort(logprobs)[: -num_top - 1 : -1], abs=NEAR
        )
        for token_id, logprob in score.top:
            assert logprob == pytest.approx(logprobs[token_id], abs=NEAR)
