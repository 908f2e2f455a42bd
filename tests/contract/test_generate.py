"""What every backend promises of `generate`, whichever engine is below the seam."""

import asyncio

import pytest

from core.errors import ContextLengthExceeded
from core.events import FinishReason
from core.sampling import SamplingPlan
from tests.engines import Engine

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO = "<|im_start|>user\nHello! What are you?<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = [
    f"<|im_start|>user\nWhat is {i} + 3?<|im_end|>\n<|im_start|>assistant\n" for i in range(32)
]


async def test_loading_was_reported_in_steps_with_words(engine: Engine) -> None:
    assert engine.reports
    assert all(report.step for report in engine.reports)
    assert all(r.fraction is None or 0.0 <= r.fraction <= 1.0 for r in engine.reports)


async def test_repeats_are_equal_token_by_token(engine: Engine) -> None:
    request = engine.request(engine.prompt(HELLO))
    answers = [await engine.answer(request) for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("max_tokens", [1, 2, 17])
async def test_max_tokens_is_exact(engine: Engine, max_tokens: int) -> None:
    answer = await engine.answer(engine.request(engine.prompt(HELLO), max_tokens))
    assert len(answer.token_ids) == max_tokens
    assert answer.finish is FinishReason.LENGTH


async def test_a_prompt_of_one_token_is_answered(engine: Engine) -> None:
    answer = await engine.answer(engine.request(engine.prompt("a")[:1], 3))
    assert len(answer.token_ids) == 3


async def test_an_end_id_is_given_out_and_nothing_after_it(engine: Engine) -> None:
    prompt = engine.prompt(HELLO)
    free = (await engine.answer(engine.request(prompt))).token_ids
    end_id = free[5]
    answer = await engine.answer(engine.request(prompt, end_ids=frozenset({end_id})))
    assert answer.token_ids == free[: free.index(end_id) + 1]
    assert answer.finish is FinishReason.STOP


async def test_without_end_ids_an_engine_has_no_rules_of_its_own(engine: Engine) -> None:
    answer = await engine.answer(engine.request(engine.prompt(HELLO), 200))
    assert len(answer.token_ids) == 200


async def test_thirty_two_at_once_answer_as_each_does_alone(engine: Engine) -> None:
    requests = [engine.request(engine.prompt(prompt), 12) for prompt in PROMPTS]
    together = await asyncio.gather(*(engine.answer(request) for request in requests))
    alone = [await engine.answer(request) for request in requests]
    assert together == alone


async def test_a_prompt_and_answer_of_exactly_the_window_are_served(engine: Engine) -> None:
    window = engine.backend.card.context_window
    prompt = (engine.prompt("hello ") * window)[: window - 2]
    answer = await engine.answer(engine.request(prompt, 2))
    assert len(answer.token_ids) == 2


async def test_an_over_long_request_is_refused_and_harms_nobody(engine: Engine) -> None:
    window = engine.backend.card.context_window
    prompt = (engine.prompt("hello ") * window)[:window]
    with pytest.raises(ContextLengthExceeded, match=str(window)):
        await engine.answer(engine.request(prompt, 1))
    assert (await engine.answer(engine.request(engine.prompt(HELLO), 2))).finish


async def test_closing_in_decode_ends_that_sequence_alone(engine: Engine) -> None:
    request = engine.request(engine.prompt(HELLO), 400)
    expected = await engine.answer(engine.request(engine.prompt(PROMPTS[0]), 40))
    neighbour = asyncio.create_task(engine.answer(engine.request(engine.prompt(PROMPTS[0]), 40)))
    stream = engine.backend.generate(request)
    first = await anext(stream)
    assert first.token_ids
    await stream.aclose()
    assert await neighbour == expected


async def test_closing_in_prefill_ends_that_sequence_alone(engine: Engine) -> None:
    window = engine.backend.card.context_window
    long_prompt = (engine.prompt("hello ") * window)[: window - 8]
    expected = await engine.answer(engine.request(engine.prompt(HELLO), 10))
    reader = asyncio.create_task(engine.answer(engine.request(long_prompt, 8)))
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await engine.answer(engine.request(engine.prompt(HELLO), 10)) == expected


async def test_two_hundred_aborts_leave_room_for_the_next(engine: Engine) -> None:
    for index in range(200):
        stream = engine.backend.generate(engine.request(engine.prompt(HELLO), 300))
        if index % 2:
            await anext(stream)
        else:
            task = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await stream.aclose()
    requests = [engine.request(engine.prompt(HELLO), 8) for _ in range(32)]
    answers = await asyncio.gather(*map(engine.answer, requests))
    assert len(set(answers)) == 1


async def test_sampling_within_top_k_one_is_greedy(engine: Engine) -> None:
    if engine.kind == "scripted":
        return
    prompt = engine.prompt(HELLO)
    greedy = await engine.answer(engine.request(prompt))
    plan = SamplingPlan(temperature=1.0, top_k=1)
    assert await engine.answer(engine.request(prompt, sampling=plan)) == greedy


async def test_every_id_is_in_the_vocabulary(engine: Engine) -> None:
    plan = SamplingPlan(temperature=2.0, top_p=0.99, top_k=50, min_p=0.0001)
    answer = await engine.answer(engine.request(engine.prompt(HELLO), 64, sampling=plan))
    assert all(0 <= i < len(engine.backend.card.vocabulary) for i in answer.token_ids)
