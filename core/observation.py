"""Owns what is told of a request while it runs and when it has ended. Never any text of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """DONE: whole. FAILED: with an error. GONE: the client left. EXPIRED: its time was over."""

    DONE = "done"
    FAILED = "failed"
    GONE = "gone"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class AnswerSummary:
    """One answer, of one choice or several, that has ended.

    `id` is the answer's own, `account` the name of whom it counts for. `model` is one of the names
    that are served, never what a client made up. Times are in seconds from the request's arrival;
    None where it did not come so far. `queue_s` is how long the first of its choices waited for a
    turn at the engine. `num_reused` prompt tokens were not computed. `upstream` is the server that
    made it, None where it was made here. Of vectors and scores, the choices are the inputs. Where
    a server that made it told no numbers, `is_counted` is false: tokens are guessed then, those of
    the answer by its events.
    """

    id: str
    account: str
    model: str
    outcome: Outcome
    finish_reasons: tuple[str, ...] = ()
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    num_reused: int = 0
    queue_s: float | None = None
    first_token_s: float | None = None
    total_s: float = 0.0
    max_tokens: int | None = None
    num_choices: int = 1
    upstream: str | None = None
    is_counted: bool = True


@dataclass(frozen=True, slots=True)
class ReplySummary:
    """One HTTP request that was replied to, or whose client left.

    `route` is the template of the route, `unknown` where there is none. `error` is the code of the
    error body, None where it succeeded. `is_whole` tells whether all of the reply was sent.
    """

    request_id: str
    account: str
    method: str
    route: str
    status: int
    error: str | None
    is_whole: bool
    total_s: float
    answer: AnswerSummary | None = None


class Observer(Protocol):
    """Who is told. Every method is called on the event loop, returns at once and raises nothing."""

    def answer_grew(self, num_tokens: int, since_s: float, model: str) -> None:
        """`num_tokens` more came from `model`, `since_s` after those before them. Not told of the
        first.
        """
        ...

    def answer_ended(self, summary: AnswerSummary) -> None:
        """Exactly once an answer."""
        ...

    def replied(self, summary: ReplySummary) -> None:
        """Exactly once an HTTP request."""
        ...
