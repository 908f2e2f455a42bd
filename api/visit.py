"""Owns what is known of one HTTP request from its arrival to the end of its reply."""

import time
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection
from starlette.types import Scope

from api.cutoff import Cutoff
from api.request_watch import Observers, RequestWatch
from core.access import EVERYBODY, Account
from core.observation import AnswerSummary


@dataclass(slots=True)
class Visit:
    """`request_id` is echoed and logged, and nothing is looked up by it: clients choose it.

    `answer` is there when an answer has ended that has no watch.
    """

    request_id: str
    cutoff: Cutoff
    observers: Observers = ()
    watch: RequestWatch | None = None
    answer: AnswerSummary | None = None
    arrived_at: float = field(default_factory=time.monotonic)

    def watched(self, watch: RequestWatch) -> RequestWatch:
        """The one whose answer this request's is."""
        self.watch = watch
        return watch

    def tell(self, summary: AnswerSummary) -> None:
        """An answer that has no watch has ended: told once."""
        self.answer = summary
        for observer in self.observers:
            observer.answer_ended(summary)


def put_visit(scope: Scope, visit: Visit) -> None:
    scope.setdefault("state", {})["visit"] = visit


def visit_of(request: HTTPConnection) -> Visit:
    visit: Visit = request.scope["state"]["visit"]
    return visit


def account_of(request: HTTPConnection) -> Account:
    """Whom the request counts for."""
    account: Account = request.scope["state"].get("account", EVERYBODY)
    return account
