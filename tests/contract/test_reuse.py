"""What every backend promises of priority, salts, and how much of a prompt was reused."""

import asyncio
import uuid
from dataclasses import replace

import pytest

from backends.base import TokenRequest, TokenStep
from tests.engines import Engine

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Longer than any engine's block.
LONG = "<|im_start|>user\nCount with me: " + "one two three " * 30 + "<|im_end|>\n"
LOWEST, HIGHEST = -(2**31), 2**31 - 1


def salted(engine: Engine, salt: str | None) -> TokenRequest:
    return replace(engine.request(engine.prompt(LONG), 8), cache_salt=salt)


async def steps_of(engine: Engine, request: TokenRequest) -> list[TokenStep]:
    return [step async for step in engine.backend.generate(request)]


async def num_cached(engine: Engine, request: TokenRequest) -> int:
    """What all steps say alike, within what is possible: an id at least is always computed."""
    steps = await steps_of(engine, request)
    (found,) = {step.num_cached for step in steps}
    assert 0 <= found < len(request.prompt_ids)
    return found


async def test_every_step_tells_the_same_of_what_was_reused(engine: Engine) -> None:
    salt = uuid.uuid4().hex
    for _ in range(3):
        await num_cached(engine, salted(engine, salt))
        await num_cached(engine, salted(engine, None))


async def test_nothing_is_reused_under_a_salt_that_is_new(engine: Engine) -> None:
    await num_cached(engine, salted(engine, None))
    for _ in range(2):
        assert await num_cached(engine, salted(engine, uuid.uuid4().hex)) == 0


async def test_nothing_is_reused_without_a_salt_of_what_has_one(engine: Engine) -> None:
    prompt = engine.prompt(uuid.uuid4().hex + LONG)
    request = engine.request(prompt, 2)
    await num_cached(engine, replace(request, cache_salt="a salt"))
    # The one id of begin-of-text is any prompt's.
    assert await num_cached(engine, request) <= 1


async def test_a_prompt_that_came_before_is_reused(engine: Engine) -> None:
    prompt = engine.prompt(LONG * 3)
    request = replace(engine.request(prompt, 8), cache_salt=uuid.uuid4().hex)
    await num_cached(engine, request)
    assert await num_cached(engine, request) > 0


async def test_a_salt_changes_no_answer(engine: Engine) -> None:
    plain = await engine.answer(salted(engine, None))
    for salt in ("a", "a", "ü" * 256):
        assert await engine.answer(salted(engine, salt)) == plain


async def test_each_priority_is_answered_alike(engine: Engine) -> None:
    request = engine.request(engine.prompt(LONG), 8)
    expected = await engine.answer(request)
    together = [replace(request, priority=number) for number in (HIGHEST, 3, 0, -3, LOWEST)]
    answers = await asyncio.gather(*map(engine.answer, [*together, *together]))
    assert answers == [expected] * len(answers)
