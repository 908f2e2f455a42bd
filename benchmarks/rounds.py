"""Owns a case's rounds: every contestant in turn, in each round. Knows no report."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.cases import BATCHED_BENCH, Case, Contestant
from benchmarks.figures import figures, is_wrong
from benchmarks.loads import Prompts
from benchmarks.measuring import Asked, Taken, take
from benchmarks.models.cached import model_file
from benchmarks.results import Measurement
from benchmarks.servers.base import Behind, ServerUnavailable, Setup
from benchmarks.servers.batched_bench import decoded
from benchmarks.servers.kinds import SERVERS, UPSTREAM_KINDS
from benchmarks.servers.process import free_port, started

_MIB = 1 << 20
_WARM_UP = Prompts(1, words=16, tokens=8)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The same for all cases."""

    num_rounds: int
    threads: int
    checkout: Path
    log_dir: Path


@dataclass(frozen=True, slots=True)
class _Started:
    contestant: Contestant
    setup: Setup
    # None for a program that is no server.
    asked: Asked | None


def measured(case: Case, conditions: Conditions) -> Iterator[Measurement]:
    """Servers stay up for all rounds of a case, so that each round meets them alike.

    A server that can't take part is told of and left out; without the first there is nothing.
    """
    with ExitStack() as stack:
        running = _started(case, conditions, stack)
        if not running or running[0].contestant != case.contestants[0]:
            return
        for number in range(conditions.num_rounds):
            # Whatever drifts within a round does so for each of them in turn.
            shift = number % len(running)
            for each in (*running[shift:], *running[:shift]):
                yield _measure(case, each, running, number)


def _started(case: Case, conditions: Conditions, stack: ExitStack) -> list[_Started]:
    """In the order of the case, those that can take part. Who is behind another starts before it;
    where it can't, the other one can't either.
    """
    running: dict[str, _Started] = {}
    for contestant in sorted(case.contestants, key=lambda each: each.behind is not None):
        behind = running.get(contestant.behind or "")
        if contestant.behind is not None and behind is None:
            continue
        try:
            each = _start(case, contestant, _setup(case, contestant, conditions, behind), stack)
            running[contestant.label] = each if behind is None else _in_front(each, behind)
        except ServerUnavailable as error:
            print(f"bench: {case.name}: without {contestant.label}: {error}", file=sys.stderr)
    return [running[each.label] for each in case.contestants if each.label in running]


def _setup(
    case: Case, contestant: Contestant, conditions: Conditions, behind: _Started | None
) -> Setup:
    server = behind.asked.server if behind and behind.asked else None
    kind = UPSTREAM_KINDS.get(behind.contestant.server, "openai") if behind else ""
    return Setup(
        model=model_file(case.model),
        num_slots=case.load.num_clients,
        slot_tokens=case.slot_tokens,
        threads=conditions.threads,
        checkout=conditions.checkout,
        settings=contestant.settings,
        folder=conditions.log_dir,
        behind=Behind(kind, server.port) if server else None,
    )


def _start(case: Case, contestant: Contestant, setup: Setup, stack: ExitStack) -> _Started:
    """Raises ServerUnavailable."""
    if contestant.server == BATCHED_BENCH:
        return _Started(contestant, setup, None)
    kind, port = SERVERS[contestant.server], free_port()
    log = setup.folder / f"{case.name}-{case.model}-{contestant.label}.log"
    server = stack.enter_context(started(kind.launch(setup, port), port, log))
    asked = Asked(server, kind.body)
    _tell_wrong(take(asked, _WARM_UP, f"warm-up {case.name}"), contestant.label)
    return _Started(contestant, setup, asked)


def _in_front(each: _Started, behind: _Started) -> _Started:
    """Asked for the same as the one behind it."""
    assert each.asked is not None, "it is a server"
    assert behind.asked is not None, "it is a server"
    body = {**behind.asked.body, **each.asked.body}
    return replace(each, asked=Asked(each.asked.server, body, behind.asked.server))


def _measure(case: Case, each: _Started, running: list[_Started], number: int) -> Measurement:
    if each.asked is None:
        return _measure_program(case, each, number)
    at_work = (each.asked.server, each.asked.behind)
    others = [e.asked.server for e in running if e.asked and e.asked.server not in at_work]
    idle_cpu_s = sum(other.cpu_s() for other in others)
    taken = take(each.asked, case.load, _seed(case, each, number))
    found = figures(taken.result.answers)
    first_error = _tell_wrong(taken, f"{case.name}: {each.contestant.label}")
    return Measurement(
        case=case.name,
        model=case.model,
        round=number,
        server=each.contestant.label,
        is_first=each.contestant == case.contestants[0],
        behind=each.contestant.behind,
        num_clients=case.load.num_clients,
        num_tokens=found.num_tokens,
        num_prompt_tokens=found.num_prompt_tokens,
        num_cached_tokens=found.num_cached_tokens,
        num_answers=found.num_answers,
        num_wrong=found.num_wrong,
        wall_s=found.wall_s,
        tokens_per_s=found.tokens_per_s,
        decode_tokens_per_s=found.decode_tokens_per_s,
        first_p50_s=found.first_p50_s,
        first_p95_s=found.first_p95_s,
        gap_p50_s=found.gap_p50_s,
        gap_p99_s=found.gap_p99_s,
        cpu_s_per_1k_tokens=1000 * taken.cpu_s / max(found.num_tokens, 1),
        peak_memory_mib=taken.peak_memory_bytes / _MIB,
        client_cpu_s=taken.result.client_cpu_s,
        idle_cpu_s=sum(other.cpu_s() for other in others) - idle_cpu_s,
        others_cpu_share=taken.others_cpu_share,
        first_error=first_error,
    )


def _seed(case: Case, each: _Started, number: int) -> str:
    """Servers get the same prompts; one that is asked in two ways would know them again."""
    is_shared = any(contestant.behind for contestant in case.contestants)
    return f"{case.name}/{number}" + (f"/{each.contestant.label}" if is_shared else "")


def _measure_program(case: Case, each: _Started, number: int) -> Measurement:
    found = decoded(each.setup, case.load)
    return Measurement(
        case=case.name,
        model=case.model,
        round=number,
        server=each.contestant.label,
        is_first=False,
        num_clients=case.load.num_clients,
        num_tokens=found.num_tokens,
        num_prompt_tokens=found.num_prompt_tokens,
        wall_s=found.wall_s,
        decode_tokens_per_s=found.tokens_per_s,
        tokens_per_s=found.num_tokens / found.wall_s,
    )


def _tell_wrong(taken: Taken, label: str) -> str | None:
    """What was wrong with the first wrong answer."""
    wrong = [answer for answer in taken.result.answers if is_wrong(answer)]
    if not wrong:
        return None
    first = wrong[0]
    count = first.num_tokens if first.num_tokens is not None else len(first.event_times_s)
    problem = first.error or f"{count} tokens instead of {first.num_wanted}"
    total = len(taken.result.answers)
    print(f"bench: WRONG: {label}: {len(wrong)} of {total}: {problem}", file=sys.stderr)
    return problem
