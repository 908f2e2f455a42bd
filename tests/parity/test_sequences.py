"""The same ids from both engines: greedy, seeded, with every filter and penalty at work."""

import pytest

from backends.base import TokenRequest
from core.sampling import SamplingPlan, Seed
from core.scores import ScoredToken
from tests.engines import GREEDY, Engine
from tests.parity.sequences import TIE, Parting, gather, partings, prompts

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

NUM_TOKENS = 64
# Of the generated requests that are asked for; of so many, one may part at a tie.
SHARE, REQUESTS_A_TIE = 2, 100
NUM_SCORED = 60


def plan_for(index: int) -> SamplingPlan:
    """Plain draws, draws through every filter, and draws with all there is."""
    seed = Seed(1000 + index, index % 3)
    if index % 3 == 0:
        return SamplingPlan(temperature=0.9, top_p=0.95, seed=seed)
    if index % 3 == 1:
        return SamplingPlan(temperature=1.2, top_p=0.9, top_k=60, min_p=0.02, seed=seed)
    return SamplingPlan(
        temperature=0.8,
        top_p=0.98,
        top_k=200,
        min_p=0.01,
        presence_penalty=0.4,
        frequency_penalty=0.3,
        repetition_penalty=1.1,
        logit_bias=((300 + index, 2.5), (40, -3.0)),
        banned_sequences=((50,), (60, 61)),
        min_tokens=8,
        seed=seed,
    )


def show(parting: Parting) -> str:
    return (
        f"{parting.request.id} parts at {parting.at}: {parting.chosen}, leads {parting.leads},"
        f" {parting.request.sampling}"
    )


async def assert_same(engines: tuple[Engine, Engine], requests: list[TokenRequest]) -> None:
    answers = (await gather(engines[0], requests), await gather(engines[1], requests))
    lengths = {len(answer.token_ids) for answer in answers[0]}
    assert max(lengths) == NUM_TOKENS
    found = await partings(engines, requests, answers)
    print(f"{len(requests) - len(found)} of {len(requests)} identical", *map(show, found), sep="\n")
    assert not [show(each) for each in found if not each.is_tie]
    assert len(found) < max(len(requests) // REQUESTS_A_TIE, 1), [show(each) for each in found]


async def test_greedy_answers_are_the_same_ids(
    llama: Engine, vllm: Engine, num_requests: int
) -> None:
    requests = [
        llama.request(llama.prompt(prompt), NUM_TOKENS, sampling=GREEDY)
        for prompt in prompts(num_requests // SHARE)
    ]
    await assert_same((llama, vllm), requests)


async def test_seeded_answers_are_the_same_ids(
    llama: Engine, vllm: Engine, num_requests: int
) -> None:
    end_ids = frozenset({llama.backend.card.vocabulary.eos_id or 0})
    requests = [
        llama.request(
            llama.prompt(prompt),
            NUM_TOKENS,
            sampling=plan_for(index),
            end_ids=end_ids if index % 3 == 2 else frozenset(),
        )
        for index, prompt in enumerate(prompts(num_requests // SHARE))
    ]
    await assert_same((llama, vllm), requests)


def assert_alike(left: ScoredToken, right: ScoredToken) -> None:
    """Equal but for rounding: neighbours that are nearer than that may stand either way round."""
    assert left.token_id == right.token_id
    assert left.logprob == pytest.approx(right.logprob, abs=TIE)
    assert len(left.top) == len(right.top)
    ours, theirs = dict(left.top), dict(right.top)
    for (one, logprob), (other, _) in zip(left.top, right.top, strict=True):
        if one != other:
            assert theirs.get(one, min(theirs.values())) == pytest.approx(logprob, abs=TIE)
            assert ours.get(other, min(ours.values())) == pytest.approx(logprob, abs=TIE)
    for token_id in ours.keys() & theirs.keys():
        assert ours[token_id] == pytest.approx(theirs[token_id], abs=TIE)


@pytest.mark.parametrize("num_top", [0, 5, 20])
async def test_scores_of_answers_and_prompts_are_alike(
    llama: Engine, vllm: Engine, num_top: int
) -> None:
    requests = [
        TokenRequest(
            f"scored-{num_top}-{index}",
            llama.prompt(prompt),
            16,
            frozenset(),
            SamplingPlan(temperature=0.7, repetition_penalty=1.2, seed=Seed(index)),
            num_logprobs=num_top,
            num_prompt_logprobs=num_top,
        )
        for index, prompt in enumerate(prompts(NUM_SCORED))
    ]
    ours, theirs = await gather(llama, requests), await gather(vllm, requests)
    num_same = 0
    for request, left, right in zip(requests, ours, theirs, strict=True):
        assert len(left.prompt_scores) == len(right.prompt_scores) == len(request.prompt_ids) - 1
        for pair in zip(left.prompt_scores, right.prompt_scores, strict=True):
            assert_alike(*pair)
        if left.token_ids == right.token_ids:
            num_same += 1
            for pair in zip(left.scores, right.scores, strict=True):
                assert_alike(*pair)
    assert num_same >= NUM_SCORED - 1
