"""What every engine promises of how ids are drawn, ended, scored and held to a grammar."""

import asyncio
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest

from backends.base import TokenRequest
from core.errors import EngineFailed
from core.events import FinishReason
from core.grammar import Grammar, GrammarKind
from core.sampling import SamplingPlan, Seed
from tests.engines import GREEDY, Engine
from tests.parity.sequences import Scored, gather, prompts, scored

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

HELLO = "<|im_start|>user\nHello! What are you?<|im_end|>\n<|im_start|>assistant\n"
WILD = SamplingPlan(temperature=1.3, top_p=0.97, top_k=300, min_p=0.001)
PERSON = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"enum": ["Ada", "Omar"]}, "age": {"type": "integer", "maximum": 9}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)
GRAMMARS = {
    "json": Grammar(GrammarKind.JSON_SCHEMA, PERSON),
    "regex": Grammar(GrammarKind.REGEX, "[a-c]{2,5}(-[0-9]{2})?"),
    "lark": Grammar(GrammarKind.LARK, 'start: "x" ("," "y")*'),
}
VALID: dict[str, Callable[[str], object]] = {
    "json": lambda text: json.loads(text)["name"] in ("Ada", "Omar"),
    "regex": lambda text: re.fullmatch("[a-c]{2,5}(-[0-9]{2})?", text),
    "lark": lambda text: re.fullmatch("x(,y)*", text),
}


@pytest.fixture(params=["llama", "vllm"])
def engine(request: pytest.FixtureRequest) -> Engine:
    started = request.getfixturevalue(request.param)
    assert isinstance(started, Engine)
    return started


def asked(engine: Engine, sampling: SamplingPlan = GREEDY, max_tokens: int = 24) -> TokenRequest:
    return engine.request(engine.prompt(HELLO), max_tokens, sampling=sampling)


def ends(engine: Engine) -> frozenset[int]:
    eos_id = engine.backend.card.vocabulary.eos_id
    assert eos_id is not None
    return frozenset({eos_id})


def text_of(engine: Engine, answer: Scored) -> str:
    vocabulary = engine.backend.card.vocabulary
    ids = [i for i in answer.token_ids if i not in vocabulary.control_ids]
    return b"".join(vocabulary.pieces[i] for i in ids).decode("utf-8", "replace")


async def test_a_seed_gives_the_same_answer_alone_and_among_thirty_one_others(
    engine: Engine,
) -> None:
    seeded = asked(engine, replace(WILD, seed=Seed(11)), 48)
    alone = await scored(engine, seeded)
    others = [
        engine.request(engine.prompt(text), 20 + at, sampling=replace(WILD, seed=Seed(at)))
        for at, text in enumerate(prompts(31))
    ]
    for place in (0, 15, 31):
        mixed = [*others[:place], replace(seeded, id=uuid.uuid4().hex), *others[place:]]
        assert (await gather(engine, mixed))[place] == alone


async def test_seeds_choices_and_no_seed_differ(engine: Engine) -> None:
    plans = [replace(WILD, seed=seed) for seed in (Seed(1), Seed(2), Seed(1, 1), None, None)]
    answers = await asyncio.gather(*(scored(engine, asked(engine, plan, 48)) for plan in plans))
    assert len({answer.token_ids for answer in answers}) == len(plans)


async def test_a_bias_bans_and_forces(engine: Engine) -> None:
    best = (await scored(engine, asked(engine))).token_ids
    banned = SamplingPlan(temperature=0.0, logit_bias=((best[0], -100.0),))
    assert (await scored(engine, asked(engine, banned))).token_ids[0] != best[0]
    forced = SamplingPlan(temperature=0.0, logit_bias=((7, 100.0),))
    assert set((await scored(engine, asked(engine, forced))).token_ids) == {7}


async def test_only_allowed_ids_are_drawn(engine: Engine) -> None:
    for plan in (WILD, GREEDY, replace(WILD, seed=Seed(3))):
        answer = await scored(engine, asked(engine, replace(plan, allowed_ids=(40, 50, 60))))
        assert set(answer.token_ids) <= {40, 50, 60}


async def test_a_banned_sequence_never_stands_in_the_output(engine: Engine) -> None:
    best = (await scored(engine, asked(engine))).token_ids
    pair = best[2:4]
    plan = SamplingPlan(temperature=0.0, banned_sequences=(pair, (best[6],)))
    ids = (await scored(engine, asked(engine, plan))).token_ids
    assert ids[:3] == best[:3]
    assert pair not in [ids[at : at + 2] for at in range(len(ids))]
    assert best[6] not in ids


async def test_end_ids_wait_for_min_tokens_and_no_others_do(engine: Engine) -> None:
    request = replace(asked(engine, max_tokens=60), end_ids=ends(engine))
    short = len((await scored(engine, request)).token_ids)
    assert short < 50
    longer = replace(request, id=uuid.uuid4().hex, sampling=replace(GREEDY, min_tokens=short + 3))
    assert len((await scored(engine, longer)).token_ids) > short + 3
    # The model's own end is no end id here: nothing holds it back.
    free = replace(asked(engine), end_ids=frozenset({1}))
    held = replace(free, id=uuid.uuid4().hex, sampling=replace(GREEDY, min_tokens=24))
    assert (await scored(engine, held)).token_ids == (await scored(engine, free)).token_ids


async def test_penalties_change_what_is_repeated(engine: Engine) -> None:
    plain = await scored(engine, asked(engine, max_tokens=64))
    counts = [len(set(plain.token_ids))]
    for plan in (
        replace(GREEDY, presence_penalty=2.0),
        replace(GREEDY, frequency_penalty=2.0),
        replace(GREEDY, repetition_penalty=2.0),
    ):
        counts.append(len(set((await scored(engine, asked(engine, plan, 64))).token_ids)))
    assert min(counts[1:]) > counts[0]


async def test_scores_are_of_the_ids_that_came(engine: Engine) -> None:
    request = replace(asked(engine), num_logprobs=3, end_ids=ends(engine))
    answer = await scored(engine, request)
    assert tuple(score.token_id for score in answer.scores) == answer.token_ids
    assert all(score.rank == 1 and score.top[0][0] == score.token_id for score in answer.scores)
    assert all(len(score.top) == 3 for score in answer.scores)
    assert (await scored(engine, replace(request, id="plain", num_logprobs=None))).scores == ()


async def test_a_prompt_is_scored_each_time_it_is_asked_for(engine: Engine) -> None:
    first = replace(asked(engine, max_tokens=2), num_prompt_logprobs=2)
    answers = [
        await scored(engine, replace(first, id=uuid.uuid4().hex)),
        *await gather(engine, [replace(first, id=uuid.uuid4().hex) for _ in range(4)]),
    ]
    for answer in answers:
        assert [score.token_id for score in answer.prompt_scores] == list(first.prompt_ids[1:])
        for one, other in zip(answer.prompt_scores, answers[0].prompt_scores, strict=True):
            assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


async def test_a_long_prompt_is_scored_beside_running_answers(engine: Engine) -> None:
    neighbours = [asked(engine, max_tokens=64) for _ in range(4)]
    ids = (engine.prompt(HELLO) * 120)[:1500]
    long = replace(engine.request(ids, 1), num_prompt_logprobs=0)
    *others, answer = await gather(engine, [*neighbours, long])
    assert len(answer.prompt_scores) == 1499
    assert len({other.token_ids for other in others}) == 1


@pytest.mark.parametrize("kind", list(GRAMMARS))
async def test_answers_match_their_grammar(engine: Engine, kind: str) -> None:
    plans = [GREEDY, WILD, *(replace(WILD, seed=Seed(at)) for at in range(6))]
    requests = [
        replace(
            asked(engine, plan, 80), end_ids=ends(engine), grammar=GRAMMARS[kind], num_logprobs=2
        )
        for plan in plans
    ]
    for answer in await gather(engine, requests):
        assert answer.token_ids[-1] in ends(engine)
        assert VALID[kind](text_of(engine, answer)), text_of(engine, answer)
        assert len(answer.scores) == len(answer.token_ids)


async def test_a_grammar_is_cut_by_max_tokens(engine: Engine) -> None:
    request = replace(asked(engine, max_tokens=4), end_ids=ends(engine), grammar=GRAMMARS["json"])
    answer = await engine.answer(request)
    assert (len(answer.token_ids), answer.finish) == (4, FinishReason.LENGTH)


async def test_a_grammar_that_can_not_be_compiled_harms_nobody(engine: Engine) -> None:
    bad = replace(asked(engine), end_ids=ends(engine), grammar=Grammar(GrammarKind.REGEX, "("))
    good = asked(engine)
    found = await asyncio.gather(scored(engine, bad), scored(engine, good), return_exceptions=True)
    assert isinstance(found[0], EngineFailed)
    assert isinstance(found[1], Scored)
    assert await scored(engine, replace(good, id=uuid.uuid4().hex)) == found[1]
