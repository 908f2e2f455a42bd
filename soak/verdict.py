"""Owns what a soak's figures are, and which reaches they miss. Runs nothing."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from soak.crowd_plan import CrowdResult, Fault
from soak.figures import growth, quantile_ms
from soak.judging import EXPIRED
from soak.run import Soaked, Wishes
from soak.server_counts import RUNNING, WAITING
from soak.watch import Sample

# A straight line through a short time tells more of chance than of growth.
_JUDGED_MINUTES = 5
_CROWDED = 64
_MOST_GROWTH_PERCENT = 1.0
_REFUSALS = frozenset(map(str, (*range(400, 500), 503)))
_EXPIRED_EVENTS = frozenset(f"error event {code}" for code in EXPIRED)
_KV_USAGE = "vllm:kv_cache_usage_perc"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of JSON, and what was missed, in words."""

    figures: dict[str, Any]
    missed: list[str]


def verdict_of(wishes: Wishes, soaked: Soaked) -> Verdict:
    phases = (soaked.warm_up, soaked.main)
    faults = _merged(phases)
    once = _once(soaked)
    ends = _ends(soaked)
    left = _left(soaked)
    memory = _memory(wishes, soaked)
    figures = {
        "engine": wishes.engine,
        "minutes": wishes.minutes,
        "clients": wishes.num_clients,
        "requests": sum(each.num_sent for each in phases),
        "outcomes": _outcomes(phases),
        "errors": {
            "unexplained": sum(each.count for each in faults),
            "in_log": soaked.log.num_errors,
        },
        "canaries": sum(each.num_canaries for each in phases),
        "reloads": sum(each.num_reloads for each in phases),
        "exactly_once": once,
        "ends": ends,
        "left": left,
        "memory": memory,
        "latency_ms": _latencies(soaked.main),
        "exit_code": soaked.ending.code,
        "faults": [{"kind": e.kind, "what": e.what, "count": e.count} for e in faults],
        "log_errors": list(soaked.log.errors),
    }
    missed = [
        *(f"{each.count} x {each.kind}: {each.what}" for each in faults),
        *(f"in the server's log: {line}" for line in soaked.log.errors),
        *_missed_once(once),
        *_missed_ends(ends),
        *(f"left: {name} is {value}" for name, value in left.items() if _is_missed(name, value)),
        *_missed_memory(memory),
        *_missed_queue(wishes, phases),
        *_missed_end(soaked),
    ]
    return Verdict({**figures, "missed": missed}, missed)


def _merged(phases: tuple[CrowdResult, ...]) -> list[Fault]:
    found = [fault for phase in phases for fault in phase.faults]
    return sorted(found, key=lambda each: -each.count)


def _outcomes(phases: tuple[CrowdResult, ...]) -> dict[str, dict[str, int]]:
    sums: dict[str, Counter[str]] = {}
    for phase in phases:
        for kind, each in phase.outcomes.items():
            sums.setdefault(kind, Counter()).update(each)
    return {kind: dict(sums[kind]) for kind in sorted(sums)}


def _once(soaked: Soaked) -> dict[str, Any]:
    """The clients' sums and the server's. Of a request that a client left the status is the
    server's to tell: so it has each status as often as clients saw it, or more.
    """
    seen = Counter(soaked.warm_up.whole_by_status) + Counter(soaked.main.whole_by_status)
    num_cut = soaked.warm_up.num_cut + soaked.main.num_cut
    seen[200] += soaked.num_looks
    told = soaked.counts.by_status if soaked.counts else {}
    statuses = sorted(seen.keys() | told.keys())
    return {
        "clients": sum(seen.values()) + num_cut,
        "server": sum(told.values()) if soaked.counts else None,
        "cut": num_cut,
        "by_status": {str(each): [seen[each], told.get(each, 0)] for each in statuses},
        "log_lines": soaked.log.num_told,
        "log_lines_wanted": soaked.warm_up.num_told + soaked.main.num_told,
        "told_twice": soaked.log.num_told_twice,
    }


def _missed_once(once: dict[str, Any]) -> list[str]:
    missed = []
    if once["server"] is None:
        return ["the server tells no metrics"]
    if once["clients"] != once["server"]:
        missed.append(f"clients sent {once['clients']} requests, the server ended {once['server']}")
    for status, (seen, told) in once["by_status"].items():
        if told < seen:
            missed.append(f"clients saw {seen} times {status}, the server tells of {told}")
    if once["told_twice"] or once["log_lines"] != once["log_lines_wanted"]:
        missed.append(
            f"{once['log_lines']} requests have a line in the log, {once['log_lines_wanted']} were"
            f" to; {once['told_twice']} have more than one"
        )
    return missed


def _ends(soaked: Soaked) -> dict[str, list[float | None]]:
    """By how requests ended: the fewest and the most that the server may tell of, and what it
    does. Of those that were cut, and of answers that nobody waits for, each may have ended so.
    """
    outcomes = _outcomes((soaked.warm_up, soaked.main))
    labels: Counter[str] = Counter()
    for each in outcomes.values():
        labels.update(each)
    refused = sum(number for label, number in labels.items() if label in _REFUSALS)
    expired = labels["408"] + sum(labels[label] for label in labels if label in _EXPIRED_EVENTS)
    num_open = soaked.warm_up.num_cut + soaked.main.num_cut
    num_open_answers = num_open + sum(outcomes.get("background", {}).values())

    def told(name: str) -> float | None:
        return soaked.counts.value(f"jarvis_{name}_requests_total") if soaked.counts else None

    return {
        "rejected": [refused, refused + num_open, told("rejected")],
        "aborted": [0, num_open_answers, told("aborted")],
        "expired": [expired, expired + num_open_answers, told("expired")],
        "failed": [0, 0, told("failed")],
    }


def _missed_ends(ends: dict[str, list[float | None]]) -> list[str]:
    return [
        f"the server tells of {told} {name} requests, and there were {least} to {most}"
        for name, (least, most, told) in ends.items()
        if least is None or most is None or told is None or not least <= told <= most
    ]


def _left(soaked: Soaked) -> dict[str, Any]:
    before, after, told = soaked.warm.sample, soaked.last.sample, soaked.last.counts
    return {
        "running": told and told.value(RUNNING),
        "waiting": told and told.value(WAITING),
        # Of running sequences: what is kept to be computed no more is not among it.
        "kv_usage": told and told.value(_KV_USAGE),
        "descriptors": after.num_descriptors - before.num_descriptors,
        "threads": after.num_threads - before.num_threads,
        "late_threads": _late_threads(soaked.samples),
        "processes": after.num_processes - before.num_processes,
        "processes_after_exit": soaked.ending.num_left,
    }


def _is_missed(name: str, value: float | None) -> bool:
    """Pools make a thread when they first want it: how many more there are is told, and judged by
    when they came.
    """
    return name != "threads" and (value is None or value > 0)


def _late_threads(samples: list[Sample]) -> int:
    """How many more there were in the second half than ever in the first: pools are full by then.
    In a short time they may not be.
    """
    if not samples or samples[-1].at_s < 60 * _JUDGED_MINUTES:
        return 0
    half_s = (samples[0].at_s + samples[-1].at_s) / 2
    first = max(each.num_threads for each in samples if each.at_s <= half_s)
    return max(0, samples[-1].num_threads - first)


def _memory(wishes: Wishes, soaked: Soaked) -> dict[str, Any]:
    samples = soaked.samples
    line = growth([each.at_s for each in samples], [each.memory_bytes for each in samples])
    before, after = soaked.warm.sample.memory_bytes, soaked.last.sample.memory_bytes
    return {
        **(asdict(line) if line else {}),
        "idle_percent": round(100 * (after - before) / before, 3),
        "is_judged": wishes.minutes >= _JUDGED_MINUTES,
    }


def _missed_memory(memory: dict[str, Any]) -> list[str]:
    percent = memory.get("percent")
    if not memory["is_judged"] or (percent is not None and percent <= _MOST_GROWTH_PERCENT):
        return []
    return [f"memory grew by {percent} % after the warm-up"]


def _missed_queue(wishes: Wishes, phases: tuple[CrowdResult, ...]) -> list[str]:
    """So many clients for so long must find the queue full at some time."""
    is_wanted = wishes.minutes >= _JUDGED_MINUTES and wishes.num_clients >= _CROWDED
    is_seen = any(429 in phase.whole_by_status for phase in phases)
    return ["nobody was refused with 429: the queue has no bound"] if is_wanted > is_seen else []


def _missed_end(soaked: Soaked) -> list[str]:
    code = soaked.ending.code
    return [] if code == 0 else [f"after SIGTERM the server ended with code {code}"]


def _latencies(result: CrowdResult) -> dict[str, float | None]:
    return {
        "first_p50": quantile_ms(result.first_text_s, 0.5),
        "first_p99": quantile_ms(result.first_text_s, 0.99),
        "gap_p50": quantile_ms(result.gaps_s, 0.5),
        "gap_p99": quantile_ms(result.gaps_s, 0.99),
    }
