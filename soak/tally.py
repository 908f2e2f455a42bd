"""Owns the sums over what all clients saw. Judges nothing."""

import re
from collections import Counter, defaultdict

from soak.ask import Ask
from soak.crowd_plan import CrowdResult, Fault
from soak.exchange import Ended, Reply
from soak.judging import label_of

# What is asked every few seconds by machines is told where it fails alone.
_QUIET = frozenset({"/health", "/health/ready", "/metrics"})
_TIMED = "stream"
_MOST_KINDS_OF_FAULTS = 200
_SAME = 80
_NUMBERS = re.compile(r"[0-9a-f]{8,}|[0-9]+")


class Tally:
    """Every request of the crowd, exactly once each."""

    def __init__(self) -> None:
        self._result = CrowdResult()
        self._outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._statuses: Counter[int] = Counter()
        self._faults: dict[tuple[str, str], Fault] = {}

    def add(self, ask: Ask, reply: Reply) -> None:
        is_quiet = ask.path in _QUIET and reply.status == 200
        self._result.num_told += reply.is_sent and not is_quiet
        self._outcomes[ask.kind][label_of(reply)] += 1
        if not reply.is_sent:
            self._result.num_unsent += 1
        elif reply.ended is Ended.WHOLE:
            self._statuses[reply.status] += 1
        else:
            self._result.num_cut += 1
        if ask.kind == _TIMED and reply.first_text_s is not None:
            self._result.first_text_s.append(reply.first_text_s)
            self._result.gaps_s += reply.gaps_s

    def add_fault(self, kind: str, what: str) -> None:
        """Those that differ in ids and numbers alone are one kind of fault."""
        same = (kind, _NUMBERS.sub("#", what)[:_SAME])
        if same in self._faults or len(self._faults) < _MOST_KINDS_OF_FAULTS:
            self._faults.setdefault(same, Fault(kind, what)).count += 1

    def add_canary(self) -> None:
        self._result.num_canaries += 1

    def add_reload(self) -> None:
        self._result.num_reloads += 1

    def result(self, canaries: dict[str, str]) -> CrowdResult:
        self._result.outcomes = {kind: dict(each) for kind, each in self._outcomes.items()}
        self._result.whole_by_status = dict(self._statuses)
        self._result.faults = list(self._faults.values())
        self._result.canaries = canaries
        return self._result
