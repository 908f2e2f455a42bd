"""Owns the pauses between rounds of asking, and when another round is worth its wait.

Does not know how servers are asked.
"""

import asyncio
from dataclasses import dataclass

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from backends.remote.chances import Chances
from core.errors import UpstreamFailed


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses are drawn evenly up to a bound that doubles from `first_s` to `most_s`, and are at
    least an eighth of `first_s`. A server that wants to be left alone for longer than `patience_s`
    is not waited for.
    """

    first_s: float = 0.25
    most_s: float = 5.0
    patience_s: float = 10.0


def rounds(chances: Chances, backoff: Backoff) -> AsyncRetrying:
    """Repeats a round that fails with UpstreamFailed for as long as `chances` leave anything to be
    asked; then its last failure is raised.
    """
    num_rounds = chances.num_most
    # Never none at all: a timer may end a little before the clock says that a server's rest does.
    least_s = backoff.first_s / 8
    drawn = wait_random_exponential(backoff.first_s, backoff.most_s, min=least_s)

    def is_worth_it(error: BaseException) -> bool:
        return isinstance(error, UpstreamFailed) and chances.rest_s(_now()) is not None

    def pause_s(state: RetryCallState) -> float:
        return (chances.rest_s(_now()) or 0.0) + drawn(state)

    def is_over(state: RetryCallState) -> bool:
        # Also where nobody could be asked in time after the pause.
        rest_s = chances.rest_s(_now() + state.upcoming_sleep)
        is_patient = rest_s is not None and rest_s <= backoff.patience_s
        return not is_patient or state.attempt_number >= num_rounds

    return AsyncRetrying(
        sleep=asyncio.sleep,
        retry=retry_if_exception(is_worth_it),
        wait=pause_s,
        stop=is_over,
        reraise=True,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
