"""The states of a response: one end, which is kept, and which nothing changes."""

from collections.abc import Callable
from typing import Any

import pytest

from api.responses.answer import ResponseAnswer, Status
from core.errors import EngineFailed
from core.events import TextDelta
from tests.api.responses.folding import CUT, END, made_answer

ENDS: dict[Status, Callable[[ResponseAnswer], None]] = {
    Status.COMPLETED: lambda answer: answer.add({0: [END]}),
    Status.INCOMPLETE: lambda answer: answer.add({0: [CUT]}),
    Status.FAILED: lambda answer: answer.fail(EngineFailed("it died")),
    Status.CANCELLED: lambda answer: answer.cancel(),
}


@pytest.mark.parametrize("status", ENDS)
def test_the_first_end_is_kept_and_stays(status: Status) -> None:
    kept: list[dict[str, Any]] = []
    answer = made_answer(keep=kept.append)
    assert answer.status is Status.QUEUED
    answer.add({0: [TextDelta("a")]})
    assert (answer.status, kept) == (Status.IN_PROGRESS, [])
    ENDS[status](answer)
    before = answer.whole()
    assert (before["status"], kept) == (status, [before])
    for end in ENDS.values():
        end(answer)
    answer.add({0: [TextDelta("late")]})
    assert (answer.whole(), kept) == (before, [before])


@pytest.mark.parametrize("status", ENDS)
def test_what_is_to_be_forgotten_is_not_kept(status: Status) -> None:
    kept: list[dict[str, Any]] = []
    answer = made_answer(keep=kept.append)
    answer.keep_nothing()
    ENDS[status](answer)
    assert answer.is_over
    assert not kept
