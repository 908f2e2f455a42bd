"""Owns what is counted of HTTP requests and of keys. Knows no engine."""

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, Metric

from api.metrics.bounded_labels import OTHER, BoundedLabel
from api.route_kinds import METHODS
from core.observation import AnswerSummary, Outcome, ReplySummary

_MOST_ROUTES, _MOST_CODES, _MOST_KEYS = 128, 64, 1024
_EXPIRED = 408


class ReplyCounts:
    """By route, by error, by key, and by how requests ended that were not whole."""

    def __init__(self) -> None:
        self._routes = BoundedLabel(_MOST_ROUTES)
        self._codes = BoundedLabel(_MOST_CODES)
        self._keys = BoundedLabel(_MOST_KEYS)
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._rejected: Counter[tuple[str, ...]] = Counter()
        self._key_requests: Counter[tuple[str, ...]] = Counter()
        self._key_prompt_tokens: Counter[tuple[str, ...]] = Counter()
        self._key_completion_tokens: Counter[tuple[str, ...]] = Counter()
        self._num_gone = 0
        self._num_expired = 0
        self._num_failed = 0

    def ended(self, answer: AnswerSummary) -> None:
        if answer.account:
            key = (self._keys.of(answer.account),)
            self._key_prompt_tokens[key] += answer.num_prompt_tokens
            self._key_completion_tokens[key] += answer.num_completion_tokens
        self._count_outcome(answer.outcome)

    def replied(self, reply: ReplySummary) -> None:
        method = reply.method if reply.method in METHODS else OTHER
        self._requests[self._routes.of(reply.route), method, str(reply.status)] += 1
        if reply.account:
            self._key_requests[(self._keys.of(reply.account),)] += 1
        if _is_rejection(reply):
            self._rejected[(self._codes.of(reply.error or OTHER),)] += 1
        if reply.answer is None:
            self._count_outcome(_outcome(reply))
        elif reply.answer.outcome is Outcome.DONE and not reply.is_whole:
            # The answer was whole, and its client left before the end of it.
            self._num_gone += 1

    def families(self) -> Iterator[Metric]:
        yield _family(
            "jarvis_http_requests",
            "HTTP requests, by route, method and status.",
            ("route", "method", "status"),
            self._requests,
        )
        yield _family(
            "jarvis_rejected_requests",
            "Requests that were refused, by the error's code.",
            ("code",),
            self._rejected,
        )
        yield _number("jarvis_aborted_requests", "Requests whose client left.", self._num_gone)
        yield _number("jarvis_expired_requests", "Requests whose time was over.", self._num_expired)
        yield _number("jarvis_failed_requests", "Requests that failed here.", self._num_failed)
        yield _family(
            "jarvis_key_requests", "HTTP requests of a key.", ("key",), self._key_requests
        )
        yield _family(
            "jarvis_key_prompt_tokens",
            "Prompt tokens of a key's requests.",
            ("key",),
            self._key_prompt_tokens,
        )
        yield _family(
            "jarvis_key_generation_tokens",
            "Generated tokens of a key's requests.",
            ("key",),
            self._key_completion_tokens,
        )

    def _count_outcome(self, outcome: Outcome) -> None:
        self._num_gone += outcome is Outcome.GONE
        self._num_expired += outcome is Outcome.EXPIRED
        self._num_failed += outcome is Outcome.FAILED


def _is_rejection(reply: ReplySummary) -> bool:
    """It was answered, and not with what was asked for, by a rule and not by a fault."""
    return reply.is_whole and (400 <= reply.status < 500 or reply.status == 503)


def _outcome(reply: ReplySummary) -> Outcome:
    """Of a request that no answer was made for."""
    if not reply.is_whole:
        return Outcome.GONE
    if reply.status == _EXPIRED:
        return Outcome.EXPIRED
    is_fault = reply.status >= 500 and reply.status != 503
    return Outcome.FAILED if is_fault else Outcome.DONE


def _family(
    name: str, meaning: str, labels: Sequence[str], counts: Counter[tuple[str, ...]]
) -> Metric:
    family = CounterMetricFamily(name, meaning, labels=labels)
    for values, number in counts.items():
        family.add_metric(values, number)
    return family


def _number(name: str, meaning: str, value: int) -> Metric:
    return CounterMetricFamily(name, meaning, value=value)
