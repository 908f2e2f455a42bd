"""The same sequences through both engines below the seam, and why two answers part."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from backends.base import TokenRequest, TokenStep
from core.noise import gumbel_noise, noise_key
from core.sampling import SamplingPlan
from core.scores import ScoredToken
from tests.engines import Engine
from tests.parity.conversations import conversations, questions

AT_ONCE = 32
# Logits differ by rounding: two that are nearer than this may change places.
TIE = 1e-3
T = TypeVar("T")


@dataclass(frozen=True)
class Scored:
    """All ids of an answer with their scores, and the prompt's."""

    token_ids: tuple[int, ...]
    scores: tuple[ScoredToken, ...]
    prompt_scores: tuple[ScoredToken, ...]


def prompts(count: int) -> list[str]:
    """Half of them questions that the model knows, half of them any text."""
    half = count // 2
    asked = [each[-1]["content"] for each in questions(half)]
    asked = [f"{text} ({at})" if at >= 20 else text for at, text in enumerate(asked)]
    other = [each[-1]["content"] for each in conversations(count - half)]
    return [
        f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n" for text in [*asked, *other]
    ]


async def gather(engine: Engine, requests: Sequence[TokenRequest]) -> list[Scored]:
    """All answers in order, AT_ONCE of them under way."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(request: TokenRequest) -> Scored:
        async with gate:
            return await scored(engine, request)

    return list(await asyncio.gather(*map(one, requests)))


async def scored(engine: Engine, request: TokenRequest) -> Scored:
    steps: list[TokenStep] = [step async for step in engine.backend.generate(request)]
    return Scored(
        tuple(i for step in steps for i in step.token_ids),
        tuple(score for step in steps for score in step.scores),
        tuple(score for step in steps for score in step.prompt_scores),
    )


@dataclass(frozen=True)
class Parting:
    """Where two answers to one request part, and by how much each engine prefers its own id to the
    other's, in units of logits (over the temperature and with the noise where that is drawn).
    """

    request: TokenRequest
    at: int
    chosen: tuple[int, int]
    leads: tuple[float, float]

    @property
    def is_tie(self) -> bool:
        return max(map(abs, self.leads)) <= TIE


async def partings(
    engines: tuple[Engine, Engine],
    requests: Sequence[TokenRequest],
    answers: tuple[list[Scored], list[Scored]],
) -> list[Parting]:
    found: list[Parting] = []
    for request, left, right in zip(requests, *answers, strict=True):
        if left.token_ids != right.token_ids:
            pairs = enumerate(zip(left.token_ids, right.token_ids, strict=False))
            at = next(at for at, (one, other) in pairs if one != other)
            chosen = (left.token_ids[at], right.token_ids[at])
            rest = replace(
                request,
                id=f"{request.id}-parting",
                prompt_ids=(*request.prompt_ids, *left.token_ids[:at]),
                max_tokens=1,
            )
            leads = [await _lead(engine, rest, chosen, at) for engine in engines]
            found.append(Parting(request, at, chosen, (leads[0], leads[1])))
    return found


async def _lead(
    engine: Engine, request: TokenRequest, chosen: tuple[int, int], position: int
) -> float:
    logprobs: list[float] = []
    for token_id in chosen:
        forced = SamplingPlan(temperature=0.0, allowed_ids=(token_id,))
        one = replace(request, id=f"{request.id}-{token_id}", sampling=forced, num_logprobs=0)
        logprobs.append((await scored(engine, one)).scores[0].logprob)
    gap = logprobs[0] - logprobs[1]
    plan = request.sampling
    if plan.is_greedy or plan.seed is None:
        return gap
    noise = gumbel_noise(noise_key(plan.seed, position), np.array(chosen))
    return float(gap / plan.drawing_temperature + noise[0] - noise[1])
