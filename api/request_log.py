"""Writes the one line at a request's end. Sees events go by; takes no part in them."""

import logging
import time
from collections.abc import Sequence

from api.pump import Arrived
from core.events import GenerationEnd
from serving.answer_source import AnswerSource

logger = logging.getLogger(__name__)


class RequestLog:
    """Facts of one request: counts, times, how each choice ended. Never any text."""

    def __init__(self, request_id: str, generations: Sequence[AnswerSource]) -> None:
        self._request_id = request_id
        self._generations = generations
        self._started_at = time.monotonic()
        self._first_event_s: float | None = None
        self._finishes: list[str] = []

    def see(self, arrived: Arrived) -> None:
        if self._first_event_s is None:
            self._first_event_s = time.monotonic() - self._started_at
        for events in arrived.values():
            if isinstance(events[-1], GenerationEnd):
                self._finishes.append(events[-1].finish_reason)

    def end(self, outcome: str) -> None:
        """`outcome`: done, failed, or gone where the client left. Tokens that came before a
        failure or an abort count too.
        """
        firsts = [each for each in self._generations if each.choice == 0]
        logger.info(
            "request=%s outcome=%s prompt_tokens=%d completion_tokens=%d finish=%s "
            "first_s=%s total_s=%.3f",
            self._request_id,
            outcome,
            sum(each.num_prompt_tokens for each in firsts),
            sum(each.num_completion_tokens for each in self._generations),
            ",".join(self._finishes) or "-",
            "-" if self._first_event_s is None else f"{self._first_event_s:.3f}",
            time.monotonic() - self._started_at,
        )
