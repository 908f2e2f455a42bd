"""Owns what is said of a request that no server answered. Asks none."""

import math
from collections.abc import Iterable

from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault

# A probe's outcome is not known before it comes, and often comes soon.
_PROBE_S = 1.0


def out_of_time(upstream: str) -> UpstreamFailed:
    return UpstreamFailed(
        f"upstream {upstream} took longer than a whole request may (its total time-out)",
        UpstreamFailure(upstream, UpstreamFault.TIMEOUT),
    )


def unavailable(upstream: str, ready_in_s: float | None) -> UpstreamFailed:
    """None: another request is the probe that decides."""
    again_s = _PROBE_S if ready_in_s is None else ready_in_s
    return UpstreamFailed(
        f"upstream {upstream} failed of late or wants no requests now; it is asked again"
        f" in {math.ceil(again_s)} s",
        UpstreamFailure(upstream, UpstreamFault.UNAVAILABLE, retry_after_s=again_s),
    )


def says_most(failures: Iterable[UpstreamFailed]) -> UpstreamFailed:
    """Of what was heard from all that were asked, the last of the most telling kind: a server's own
    answer, before one that did not come, before one that was not asked for. Of the last kind, the
    one that can be asked again first.
    """
    best: UpstreamFailed | None = None
    for each in failures:
        if best is None or _rank(each) >= _rank(best):
            best = each
    assert best is not None, "nobody was asked"
    return best


def _rank(failed: UpstreamFailed) -> tuple[int, float]:
    failure = failed.failure
    if failure.fault is not UpstreamFault.UNAVAILABLE:
        return (1 if failure.status is None else 2), 0.0
    return 0, -(failure.retry_after_s or 0.0)
