"""Unseeded draws follow the defined distribution: each filter and penalty, alone and in pairs.

`--draws N` makes more draws of each kind than the few of an ordinary run.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.sampling import SamplingPlan
from tests.backends.llama.native_reference import NativeReference
from tests.definition import probabilities
from tests.engines import MODEL, Engine

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

AT_ONCE = 64
PROMPT = "1 2 3"
# Fewer expected draws than this are counted together.
FEWEST = 5.0
# One right distribution in five million is further away than this many standard deviations.
MOST_DEVIATIONS = 5.1
ALONE: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.7},
    "top_p": {"top_p": 0.8},
    "top_k": {"top_k": 7},
    "min_p": {"min_p": 0.05},
    "presence_penalty": {"presence_penalty": 1.5},
    "frequency_penalty": {"frequency_penalty": 1.5},
    "repetition_penalty": {"repetition_penalty": 1.6},
    "logit_bias": {},
    "allowed_ids": {},
    "banned_sequences": {},
    "min_tokens": {"min_tokens": 1},
}
PAIRS = [*((name,) for name in ALONE), *itertools.combinations(ALONE, 2)]
# These act on what was put out before: the second draw shows them.
SECOND = {"presence_penalty", "frequency_penalty"}
_SECOND_SHARE = 5


@pytest.fixture(scope="module")
def reference() -> Iterator[NativeReference]:
    native = NativeReference(MODEL)
    yield native
    native.close()


@pytest.fixture(params=["llama", "vllm"])
def engine(request: pytest.FixtureRequest) -> Engine:
    started = request.getfixturevalue(request.param)
    assert isinstance(started, Engine)
    return started


@pytest.fixture
def num_draws(request: pytest.FixtureRequest) -> int:
    count: int = request.config.getoption("--draws")
    return count


def plan_of(names: tuple[str, ...], logits: NDArray[np.float32]) -> SamplingPlan:
    """Ids that matter are those near the top."""
    best = [int(i) for i in np.argsort(-logits)[:12]]
    ids: dict[str, dict[str, Any]] = {
        "logit_bias": {"logit_bias": ((best[0], -1.5), (best[5], 2.0))},
        "allowed_ids": {"allowed_ids": tuple(sorted(best[1:9]))},
        "banned_sequences": {"banned_sequences": ((best[1],), (best[0], best[2]))},
    }
    plan = SamplingPlan()
    for name in names:
        plan = replace(plan, **(ids.get(name) or ALONE[name]))
    return plan


async def drawn(engine: Engine, plan: SamplingPlan, num_tokens: int, count: int) -> list[Any]:
    prompt, end_ids = engine.prompt(PROMPT), end_ids_of(engine)
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> tuple[int, ...]:
        async with gate:
            request = engine.request(prompt, num_tokens, sampling=plan, end_ids=end_ids)
            return (await engine.answer(request)).token_ids

    return list(await asyncio.gather(*(one() for _ in range(count))))


def end_ids_of(engine: Engine) -> frozenset[int]:
    vocabulary = engine.backend.card.vocabulary
    return frozenset(vocabulary.metadata_end_ids)


def deviations(
    counts: Counter[int], expected: NDArray[np.float64], *, must_compare: bool = False
) -> float:
    """How far the counts are from the distribution, in standard deviations (Wilson-Hilferty); 0
    where there are too few draws of it to say, unless they must suffice.
    """
    num = sum(counts.values())
    assert not [i for i in counts if expected[i] <= 0.0], "an id was drawn that can't be"
    often = [int(i) for i in np.flatnonzero(expected * num >= FEWEST)]
    cells = [(counts[i], expected[i] * num) for i in often]
    rest = num - sum(found for found, _ in cells), num - sum(right for _, right in cells)
    cells += [rest] if rest[1] >= FEWEST else []
    if len(cells) < 2:
        assert not must_compare
        return 0.0
    degrees = len(cells) - 1
    square = sum((found - right) ** 2 / right for found, right in cells)
    spread = 2 / (9 * degrees)
    return float(((square / degrees) ** (1 / 3) - (1 - spread)) / spread**0.5)


@pytest.mark.parametrize("names", PAIRS, ids="+".join)
async def test_draws_follow_the_definition(
    engine: Engine, reference: NativeReference, names: tuple[str, ...], num_draws: int
) -> None:
    prompt, end_ids = engine.prompt(PROMPT), end_ids_of(engine)
    logits = reference.logits(prompt)
    plan = plan_of(names, logits)
    is_second = not SECOND.isdisjoint(names)
    is_alone = is_second and len(names) == 1
    # Of these, those after the commonest first draw are compared.
    count = num_draws * _SECOND_SHARE if is_alone else num_draws
    answers = await drawn(engine, plan, 1 + is_second, count)
    first = Counter(ids[0] for ids in answers)
    expected = probabilities(logits, plan, prompt, (), end_ids)
    assert deviations(first, expected) < MOST_DEVIATIONS
    if is_second:
        most = max((i for i in first if i not in end_ids), key=lambda i: first[i])
        after = Counter(ids[1] for ids in answers if ids[0] == most)
        logits = reference.logits((*prompt, most))
        expected = probabilities(logits, plan, prompt, (most,), end_ids)
        assert deviations(after, expected, must_compare=is_alone) < MOST_DEVIATIONS
