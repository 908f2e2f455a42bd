"""Writes the one line at a request's end. Sees events go by; takes no part in them."""

import logging
import time
from collections.abc import Iterable

from api.pump import ChoiceEvent
from core.events import GenerationEnd

logger = logging.getLogger(__name__)


class RequestLog:
    """Facts of one request: counts, times, how each choice ended. Never any text."""

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._started_at = time.monotonic()
        self._first_event_s: float | None = None
        self._ends: list[GenerationEnd] = []

    def see(self, events: Iterable[ChoiceEvent]) -> None:
        if self._first_event_s is None:
            self._first_event_s = time.monotonic() - self._started_at
        self._ends += [each.event for each in events if isinstance(each.event, GenerationEnd)]

    def end(self, outcome: str) -> None:
        """`outcome`: done, failed, or gone where the client left; tokens are of ended choices."""
        logger.info(
            "request=%s outcome=%s prompt_tokens=%d completion_tokens=%d finish=%s "
            "first_s=%s total_s=%.3f",
            self._request_id,
            outcome,
            sum(end.num_prompt_tokens for end in self._ends),
            sum(end.num_completion_tokens for end in self._ends),
            ",".join(end.finish_reason for end in self._ends) or "-",
            "-" if self._first_event_s is None else f"{self._first_event_s:.3f}",
            time.monotonic() - self._started_at,
        )
