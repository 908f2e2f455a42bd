"""Owns a case's rounds: every contestant in turn, in each round. Knows no report."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import BATCHED_BENCH, Case, Contestant
from benchmarks.figures import figures, is_wrong
from benchmarks.loads import Prompts
from benchmarks.measuring import Taken, take
from benchmarks.models.cached import model_file
from benchmarks.results import Measurement
from benchmarks.servers.base import ServerUnavailable, Setup
from benchmarks.servers.batched_bench import decoded
from benchmarks.servers.kinds import SERVERS
from benchmarks.servers.process import RunningServer, free_port, started

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
    server: RunningServer | None


def measured(case: Case, conditions: Conditions) -> Iterator[Measurement]:
    """Servers stay up for all rounds of a case, so that each round meets them alike.

    A server that can't take part is told of and left out; without the first there is nothing.
    """
    with ExitStack() as stack:
        running: list[_Started] = []
        for contestant in case.contestants:
            each = _start(case, contestant, conditions, stack)
            if each is None and contestant == case.contestants[0]:
                return
            running += [each] if each else []
        for number in range(conditions.num_rounds):
            # Whatever drifts within a round does so for each of them in turn.
            shift = number % len(running)
            for each in (*running[shift:], *running[:shift]):
                yield _measure(case, each, running, number)


def _start(
    case: Case, contestant: Contestant, conditions: Conditions, stack: ExitStack
) -> _Started | None:
    try:
        setup = Setup(
            model=model_file(case.model),
            num_slots=case.load.num_clients,
            slot_tokens=case.slot_tokens,
            threads=conditions.threads,
            checkout=conditions.checkout,
            settings=contestant.settings,
        )
        if contestant.server == BATCHED_BENCH:
            return _Started(contestant, setup, None)
        kind, port = SERVERS[contestant.server], free_port()
        log = conditions.log_dir / f"{case.name}-{case.model}-{contestant.label}.log"
        server = stack.enter_context(started(kind.launch(setup, port), port, log))
        _tell_wrong(take(server, _WARM_UP, f"warm-up {case.name}", kind.body), contestant.label)
        return _Started(contestant, setup, server)
    except ServerUnavailable as error:
        print(f"bench: {case.name}: without {contestant.label}: {error}", file=sys.stderr)
        return None


def _measure(case: Case, each: _Started, running: list[_Started], number: int) -> Measurement:
    if each.server is None:
        return _measure_program(case, each, number)
    others = [other.server for other in running if other.server and other is not each]
    idle_cpu_s = sum(other.cpu_s() for other in others)
    body = SERVERS[each.contestant.server].body
    taken = take(each.server, case.load, f"{case.name}/{number}", body)
    found = figures(taken.result.answers)
    first_error = _tell_wrong(taken, f"{case.name}: {each.contestant.label}")
    return Measurement(
        case=case.name,
        model=case.model,
        round=number,
        server=each.contestant.label,
        is_first=each.contestant == case.contestants[0],
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
