"""Owns how connections that came to nothing are shown. Counts nothing itself."""

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, Metric


class ConnectionCounts(Protocol):
    """What the server's sockets have seen; each counts from the start."""

    @property
    def num_stalled(self) -> int: ...

    @property
    def num_timed_out(self) -> int: ...

    @property
    def num_refused(self) -> int: ...

    @property
    def num_beyond(self) -> int: ...


def connection_families(counts: ConnectionCounts | None) -> Iterator[Metric]:
    """Nothing where somebody else owns the sockets."""
    if counts is None:
        return
    for name, words, value in (
        ("stalled", "Dropped, since the client read nothing of its answer.", counts.num_stalled),
        ("timed_out", "Answered with 408: head or body came too slowly.", counts.num_timed_out),
        ("refused", "Answered with an error before there was a request.", counts.num_refused),
        ("beyond_limit", "Refused, since there were too many at once.", counts.num_beyond),
    ):
        yield CounterMetricFamily(f"jarvis_connections_{name}", words, value=value)
