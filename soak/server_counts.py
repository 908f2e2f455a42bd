"""Owns what the server itself counts: its metrics, and its line at each request's end."""

import http.client
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from soak.exchange import HOST

RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
_REQUEST_ID = re.compile(r"\bsoak-[A-Za-z0-9-]+\b")
_ERROR = re.compile(r"Traceback| (?:ERROR|CRITICAL) |never awaited|was never retrieved")
# Stands in the line of a request's end; one that goes on after its reply has another line.
_END = " method="
_TIMEOUT_S = 30
_SHOWN, _MOST_ERRORS = 300, 10


class NoMetrics(Exception):
    """The server told no metrics; the message says what it said."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums of /metrics by name, and HTTP requests by status."""

    sums: dict[str, float]
    by_status: dict[int, int]

    @property
    def num_requests(self) -> int:
        return sum(self.by_status.values())

    def value(self, name: str) -> float | None:
        """All label values together; None where there is no such metric."""
        return self.sums.get(name)

    @property
    def num_unfinished(self) -> float:
        """Requests that the engine works on, or is to."""
        return sum(self.sums.get(name, 0) for name in (RUNNING, WAITING))

    def since(self, before: "Counts") -> "Counts":
        """What was added to each total; gauges are as they are now."""
        added = Counter(self.by_status)
        added.subtract(before.by_status)
        sums = {name: value - _before(name, before) for name, value in self.sums.items()}
        return Counts(sums, {status: number for status, number in added.items() if number})


def _before(name: str, before: Counts) -> float:
    return before.sums.get(name, 0.0) if name.endswith("_total") else 0.0


def counts(port: int, key: str) -> Counts:
    """Raises NoMetrics."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics", headers={"authorization": f"Bearer {key}"})
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise NoMetrics(f"/metrics: {error}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise NoMetrics(f"/metrics answered {response.status}: {text[:200]}")
    return read_counts(text)


def read_counts(text: str) -> Counts:
    """Out of Prometheus' text form."""
    sums: defaultdict[str, float] = defaultdict(float)
    by_status: Counter[int] = Counter()
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            sums[each.name] += each.value
            if each.name == "jarvis_http_requests_total":
                by_status[int(each.labels["status"])] += int(each.value)
    return Counts(dict(sums), dict(by_status))


@dataclass(frozen=True, slots=True)
class LogFacts:
    """Of the requests of the crowd, how many have a line that tells their end, and how many have
    more than one. `errors`: lines that tell of something wrong inside, the first few of them.
    """

    num_told: int
    num_told_twice: int
    num_errors: int
    errors: tuple[str, ...]


def read_log(log: Path) -> LogFacts:
    ends: Counter[str] = Counter()
    errors: list[str] = []
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = _REQUEST_ID.search(line)
            if found is not None and _END in line:
                ends[found[0]] += 1
            if _ERROR.search(line):
                errors.append(line.strip()[:_SHOWN])
    twice = sum(number > 1 for number in ends.values())
    return LogFacts(len(ends), twice, len(errors), tuple(errors[:_MOST_ERRORS]))
