"""Writes the one line at a request's end: facts, never any text of it."""

import logging
from typing import Any

from api.route_kinds import QUIET_ROUTES
from core.observation import AnswerSummary, ReplySummary

logger = logging.getLogger(__name__)


class ReplyLog:
    """Implements `core.observation.Observer`."""

    def answer_grew(self, num_tokens: int, since_s: float, model: str) -> None:
        """The end tells it all."""

    def answer_ended(self, summary: AnswerSummary) -> None:
        """Told with the reply."""

    def replied(self, summary: ReplySummary) -> None:
        facts: dict[str, Any] = {
            "method": summary.method,
            "path": summary.route,
            "status": summary.status,
            "error": summary.error,
            "key": summary.account or None,
            "whole": summary.is_whole,
        }
        if summary.answer is not None:
            facts |= answer_facts(summary.answer)
        facts["total_s"] = round(summary.total_s, 3)
        is_quiet = summary.route in QUIET_ROUTES and summary.error is None
        _write(logging.DEBUG if is_quiet else logging.INFO, facts)


def log_answer(summary: AnswerSummary) -> None:
    """Of one that went on after its reply."""
    _write(logging.INFO, {**answer_facts(summary), "total_s": round(summary.total_s, 3)})


def answer_facts(answer: AnswerSummary) -> dict[str, Any]:
    return {
        "answer": answer.id,
        "upstream": answer.upstream,
        "outcome": str(answer.outcome),
        "choices": answer.num_choices,
        "prompt_tokens": answer.num_prompt_tokens,
        "completion_tokens": answer.num_completion_tokens,
        "finish": ",".join(answer.finish_reasons) or None,
        "reused": answer.num_reused,
        "queue_s": _rounded(answer.queue_s),
        "first_s": _rounded(answer.first_token_s),
    }


def _write(level: int, facts: dict[str, Any]) -> None:
    """Formatters put the facts into the line, each in its way."""
    logger.log(level, "replied", extra={"facts": facts})


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
