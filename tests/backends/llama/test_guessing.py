"""Guessing ahead on a real model: the same answers, in fewer steps."""

from dataclasses import replace
from pathlib import Path

import pytest

from backends.base import TokenStep
from backends.llama.backend import LlamaBackend
from backends.llama.drafting import LONGEST, Drafter
from backends.llama.limits import Limits
from backends.llama.options import LlamaOptions
from backends.llama.sequence import Arrival
from core.lifecycle import LoadProgress
from core.sampling import SamplingPlan, Seed
from tests.backends.llama.simulated_cache import Simulator
from tests.backends.llama.test_memory_kinds import Passed
from tests.engines import Engine

MODEL = Path(__file__).resolve().parents[3] / "models" / "jarvis-tiny.gguf"
OPTIONS = LlamaOptions(MODEL, "tiny", context_window=1024, num_slots=4, log_level="ERROR")
TEXTS = (
    "one two three four five six seven " * 12,
    "The red fox runs. The red fox jumps. The red fox runs. The red",
    "Nothing here comes twice, so that guesses fail.",
)


PLANS = {
    "greedy": SamplingPlan(temperature=0.0),
    "penalised": SamplingPlan(temperature=0.0, repetition_penalty=1.02, presence_penalty=0.1),
    "seeded": SamplingPlan(temperature=0.4, top_p=0.9, seed=Seed(5)),
    "all": SamplingPlan(
        temperature=0.3, seed=Seed(-6, 1), frequency_penalty=-0.2, banned_sequences=((300, 301),)
    ),
}


async def answers(options: LlamaOptions, plan: SamplingPlan) -> list[list[TokenStep]]:
    backend = LlamaBackend(options, Passed())
    reports: list[LoadProgress] = []
    await backend.start(reports.append)
    engine = Engine("llama", backend, reports)
    try:
        requests = [engine.request(engine.prompt(text), 120) for text in TEXTS]
        asked = [replace(r, sampling=plan, num_logprobs=1) for r in requests]
        return [[step async for step in backend.generate(each)] for each in asked]
    finally:
        await backend.close()


@pytest.mark.engine
@pytest.mark.parametrize("name", list(PLANS))
async def test_answers_are_the_same_ids_with_and_without_guesses(name: str) -> None:
    guessed = await answers(OPTIONS, PLANS[name])
    plain = await answers(replace(OPTIONS, speculates=False), PLANS[name])
    for left, right in zip(guessed, plain, strict=True):
        ids = [i for step in left for i in step.token_ids]
        assert ids == [i for step in right for i in step.token_ids]
        scores = [score for step in left for score in step.scores]
        assert [score.token_id for score in scores] == ids
        assert [score.logprob for score in scores] == pytest.approx(
            [score.logprob for step in right for score in step.scores], abs=1e-3
        )


def test_repeated_text_takes_fewer_steps() -> None:
    def circle(token_ids: list[int]) -> int:
        return token_ids[-7]

    limits = Limits(num_cells=512, max_running=2, batch_tokens=64, prefill_tokens=64)
    steps = []
    for max_drafting in (0, 1):
        simulator = Simulator(replace(limits, max_drafting=max_drafting), model=circle)
        simulator.submit(Arrival(0, tuple(range(7)) * 3, 100))
        steps.append(simulator.drain())
        assert simulator.outputs[0] == simulator.expected(0)
    assert steps[1] < steps[0] / 5


def test_what_followed_the_same_ids_before_is_proposed() -> None:
    drafter = Drafter()
    assert drafter.propose([1, 2, 3, 4, 5, 6, 1, 2, 3], 3) == (4, 5, 6)
    assert Drafter().propose([1, 2, 3, 4, 5, 6], 3) == ()


def test_guesses_that_hold_grow_and_those_that_fail_pause() -> None:
    drafter = Drafter()
    ids = [*range(40), *range(3)]
    for _ in range(4):
        drafter.learn(4, 4)
    assert len(drafter.propose(ids, 100)) == LONGEST
    drafter.learn(16, 0)
    assert drafter.propose(ids, 100) == ()
    assert drafter.propose(ids, 100) == ()
    assert len(drafter.propose(ids, 100)) == 2
