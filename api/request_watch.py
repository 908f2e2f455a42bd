"""Owns what is known of one answer while it is made, and tells observers. Takes no part in it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from api.pump import Arrived
from api.remote.attempts import LOCAL, UPSTREAM_HEADER
from core.errors import DeadlineExceeded
from core.events import GenerationEnd
from core.observation import AnswerSummary, Observer, Outcome
from serving.answer_source import AnswerSource

Observers = tuple[Observer, ...]
# About what a token of a prompt has, where nobody counts them.
BYTES_OF_TOKEN = 4


@dataclass(frozen=True, slots=True)
class WatchLabels:
    """Whose answer it is: its own id, the account it counts for, and the served model's name; when
    its request arrived, by the monotonic clock; whether the account's tokens are limited. `headers`
    tell who made it, once that is known.
    """

    id: str
    account: str
    model: str
    arrived_at: float
    headers: Mapping[str, str] = field(default_factory=dict)
    is_limited: bool = False

    @property
    def upstream(self) -> str | None:
        """None where it was made here."""
        name = self.headers.get(UPSTREAM_HEADER)
        return None if name == LOCAL else name


class RequestWatch:
    """Counts and times of one answer. Never any text."""

    def __init__(
        self, labels: WatchLabels, sources: Sequence[AnswerSource], observers: Observers
    ) -> None:
        self._labels = labels
        self._sources = sources
        self._observers = observers
        self._started_at = labels.arrived_at
        self._first_s: float | None = None
        self._last_at = 0.0
        self._num_tokens = 0
        self._num_reused = 0
        self._finishes: list[str] = []
        self._summary: AnswerSummary | None = None

    def see(self, arrived: Arrived) -> None:
        """Some came: the first, or what follows."""
        if not arrived:
            return
        now, num_tokens = time.monotonic(), self._count()
        if self._first_s is None:
            self._first_s = now - self._started_at
        elif num_tokens > self._num_tokens:
            grown, since_s = num_tokens - self._num_tokens, now - self._last_at
            for observer in self._observers:
                observer.answer_grew(grown, since_s, self._labels.model)
        self._last_at, self._num_tokens = now, num_tokens
        for index, events in arrived.items():
            if isinstance(end := events[-1], GenerationEnd):
                self._finishes.append(end.finish_reason)
                if self._sources[index].choice == 0:
                    self._num_reused += end.num_cached_tokens

    def end(self, outcome: Outcome) -> AnswerSummary:
        """Tells it once, and gives what was told. Tokens that came before a failure count too."""
        if self._summary is None:
            self._summary = self._made_summary(outcome)
            for observer in self._observers:
                observer.answer_ended(self._summary)
        return self._summary

    @property
    def account(self) -> str:
        """The name of whom it counts for."""
        return self._labels.account

    @property
    def summary(self) -> AnswerSummary | None:
        """None before the end."""
        return self._summary

    def timing(self) -> str:
        """What is known by now, as the header server-timing has it, in milliseconds."""
        parts = {"queue": self._queue_s(), "first": self._first_s}
        return ", ".join(f"{name};dur={s * 1e3:.1f}" for name, s in parts.items() if s is not None)

    def _count(self) -> int:
        return sum(source.num_completion_tokens for source in self._sources)

    def _queue_s(self) -> float | None:
        waits = [source.queue_s for source in self._sources]
        return min((wait for wait in waits if wait is not None), default=None)

    def _num_read(self, source: AnswerSource) -> int:
        """The prompt's tokens, where anybody began to read them: no turn, no work. A prompt that
        nobody counted must not go round its key's limit.
        """
        num_sent = source.num_sent_bytes
        is_begun = source.queue_s is not None or source.num_completion_tokens > 0 or num_sent > 0
        if not is_begun:
            return 0
        least = num_sent // BYTES_OF_TOKEN if self._labels.is_limited else 0
        return source.num_prompt_tokens or least

    def _made_summary(self, outcome: Outcome) -> AnswerSummary:
        # The choices of one prompt share it.
        firsts = [source for source in self._sources if source.choice == 0]
        lengths = [source.max_tokens for source in self._sources]
        return AnswerSummary(
            id=self._labels.id,
            account=self._labels.account,
            model=self._labels.model,
            outcome=outcome,
            finish_reasons=tuple(self._finishes),
            num_prompt_tokens=sum(map(self._num_read, firsts)),
            num_completion_tokens=self._count(),
            num_reused=self._num_reused,
            queue_s=self._queue_s(),
            first_token_s=self._first_s,
            total_s=time.monotonic() - self._started_at,
            max_tokens=max((length for length in lengths if length is not None), default=None),
            num_choices=len(self._sources),
            upstream=self._labels.upstream,
            is_counted=self._labels.upstream is None or any(s.num_prompt_tokens for s in firsts),
        )


def outcome_of(error: BaseException) -> Outcome:
    """How an answer ended that ended with this."""
    return Outcome.EXPIRED if isinstance(error, DeadlineExceeded) else Outcome.FAILED
