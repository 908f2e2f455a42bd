"""The merging slot between the engine and a reader."""

import asyncio

import pytest

from backends.base import TokenStep
from backends.llama.mailbox import Mailbox
from core.errors import EngineFailed
from core.events import FinishReason
from core.scores import ScoredToken


async def test_a_lagging_reader_gets_all_ids_in_one_step() -> None:
    mailbox = Mailbox()
    mailbox.put(TokenStep((1,)))
    mailbox.put(TokenStep((2,)))
    mailbox.put(TokenStep((3,), FinishReason.LENGTH))
    assert await mailbox.take() == TokenStep((1, 2, 3), FinishReason.LENGTH)


async def test_scores_are_joined_like_ids_and_given_once() -> None:
    mailbox = Mailbox()
    scores = [ScoredToken(token_id, -0.5, 1) for token_id in range(5)]
    mailbox.put(TokenStep((2,), None, 3, (scores[2],), (scores[0], scores[1])))
    mailbox.put(TokenStep((3,), None, 3, (scores[3],)))
    assert await mailbox.take() == TokenStep(
        (2, 3), None, 3, (scores[2], scores[3]), (scores[0], scores[1])
    )
    mailbox.put(TokenStep((4,), FinishReason.STOP, 3, (scores[4],)))
    assert await mailbox.take() == TokenStep((4,), FinishReason.STOP, 3, (scores[4],))


async def test_a_waiting_reader_is_woken() -> None:
    mailbox = Mailbox()
    reader = asyncio.ensure_future(mailbox.take())
    await asyncio.sleep(0)
    assert not reader.done()
    mailbox.put(TokenStep((7,)))
    assert await reader == TokenStep((7,))


async def test_ids_before_a_failure_are_delivered_then_the_failure() -> None:
    mailbox = Mailbox()
    mailbox.put(TokenStep((1,)))
    mailbox.fail("the engine died")
    assert await mailbox.take() == TokenStep((1,))
    with pytest.raises(EngineFailed, match="the engine died"):
        await mailbox.take()


async def test_a_finished_sequence_stays_finished_when_the_engine_dies() -> None:
    mailbox = Mailbox()
    mailbox.put(TokenStep((1,), FinishReason.STOP))
    mailbox.fail("the engine died")
    assert await mailbox.take() == TokenStep((1,), FinishReason.STOP)
