"""Each reach, kept and missed."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from soak.chart import draw
from soak.crowd_plan import CrowdResult, Fault
from soak.launching import Ending
from soak.run import Idle, Soaked, Wishes
from soak.server_counts import Counts, LogFacts
from soak.verdict import verdict_of
from soak.watch import Sample

MIB = 1 << 20
WISHES = Wishes("llama_cpp", 30, 64, "seed", {}, Path("."))
SUMS = {
    "vllm:num_requests_running": 0.0,
    "vllm:num_requests_waiting": 0.0,
    "vllm:kv_cache_usage_perc": 0.0,
    "jarvis_rejected_requests_total": 2.0,
    "jarvis_aborted_requests_total": 1.0,
    "jarvis_expired_requests_total": 0.0,
    "jarvis_failed_requests_total": 0.0,
}


def crowd() -> CrowdResult:
    return CrowdResult(
        outcomes={"chat": {"200": 10, "429": 1}, "aborted": {"aborted": 1}},
        whole_by_status={200: 10, 429: 1},
        num_cut=1,
        num_told=12,
        first_text_s=[0.1],
        gaps_s=[0.01],
    )


def at(seconds: float, mib: float = 100, descriptors: int = 20, threads: int = 9) -> Sample:
    return Sample(seconds, int(mib * MIB), threads, descriptors, 1)


def seen() -> Soaked:
    """All is well: 23 requests of two crowds with two that were cut, and 3 looks of our own."""
    counts = Counts(dict(SUMS), {200: 24, 429: 2, 499: 1})
    return Soaked(
        warm_up=crowd(),
        main=crowd(),
        warm=Idle(at(180), counts),
        last=Idle(at(1800), counts),
        counts=counts,
        num_looks=3,
        samples=[at(180), at(900, 101), at(1800)],
        log=LogFacts(24, 0, 0, ()),
        ending=Ending(0, 0),
    )


def missed(soaked: Soaked, wishes: Wishes = WISHES) -> str:
    return "\n".join(verdict_of(wishes, soaked).missed)


def with_sums(**sums: float) -> Counts:
    named = {f"jarvis_{name}_requests_total": value for name, value in sums.items()}
    return Counts({**SUMS, **named}, {200: 24, 429: 2, 499: 1})


def test_nothing_is_missed_where_all_is_well() -> None:
    verdict = verdict_of(WISHES, seen())
    assert verdict.missed == []
    assert verdict.figures["requests"] == 24
    assert verdict.figures["exactly_once"]["clients"] == 27
    assert msgspec.json.encode(verdict.figures)


@pytest.mark.parametrize(
    ("by_status", "what"),
    [
        ({200: 25, 429: 2, 499: 1}, "the server ended 28"),
        ({200: 23, 429: 2, 499: 1}, "the server ended 26"),
        ({200: 25, 429: 1, 499: 1}, "2 times 429"),
        ({200: 22, 429: 2, 499: 3}, "23 times 200"),
    ],
)
def test_a_request_that_ended_twice_or_never_is_missed(
    by_status: dict[int, int], what: str
) -> None:
    assert what in missed(replace(seen(), counts=Counts(dict(SUMS), by_status)))


@pytest.mark.parametrize(
    ("sums", "what"),
    [
        ({"failed": 1.0}, "1.0 failed"),
        ({"rejected": 1.0}, "2 to 4"),
        ({"rejected": 5.0}, "5.0 rejected"),
        ({"aborted": 3.0}, "3.0 aborted"),
        ({"expired": 3.0}, "3.0 expired"),
    ],
)
def test_ends_that_the_clients_know_nothing_of_are_missed(
    sums: dict[str, float], what: str
) -> None:
    assert what in missed(replace(seen(), counts=with_sums(**sums)))


def test_a_server_without_metrics_is_missed() -> None:
    bare = replace(seen(), counts=None, last=Idle(at(1800), None))
    assert "no metrics" in missed(bare)
    assert "running is None" in missed(bare)


@pytest.mark.parametrize(
    ("log", "what"),
    [
        (LogFacts(23, 0, 0, ()), "23 requests have a line in the log, 24"),
        (LogFacts(24, 1, 0, ()), "1 have more than one"),
        (LogFacts(24, 0, 1, ("Traceback",)), "in the server's log: Traceback"),
    ],
)
def test_a_log_that_tells_something_else_is_missed(log: LogFacts, what: str) -> None:
    assert what in missed(replace(seen(), log=log))


@pytest.mark.parametrize(
    ("last", "what"),
    [
        (at(1800, descriptors=21), "descriptors is 1"),
        (replace(at(1800), num_processes=2), "processes is 1"),
    ],
)
def test_what_is_left_is_missed(last: Sample, what: str) -> None:
    assert what in missed(replace(seen(), last=Idle(last, with_sums())))


def test_threads_that_come_late_are_missed() -> None:
    late = replace(seen(), samples=[at(180), at(900), at(1800, threads=10)])
    assert "late_threads is 1" in missed(late)
    # Pools make their threads when there is work for them, and never more than their number.
    early = replace(seen(), samples=[at(180), at(900, threads=10), at(1800, threads=10)])
    assert missed(early) == ""


@pytest.mark.parametrize(
    ("metric", "what"),
    [
        ("vllm:num_requests_running", "running is 0.5"),
        ("vllm:num_requests_waiting", "waiting is 0.5"),
        ("vllm:kv_cache_usage_perc", "kv_usage is 0.5"),
    ],
)
def test_leaked_slots_and_cells_are_missed(metric: str, what: str) -> None:
    held = Counts({**SUMS, metric: 0.5}, {})
    assert what in missed(replace(seen(), last=Idle(at(1800), held)))


def test_memory_that_grows_is_missed_where_the_time_tells_it() -> None:
    growing = replace(seen(), samples=[at(180), at(900, 102), at(1800, 104)])
    assert "memory grew by 3.9" in missed(growing)
    assert missed(growing, replace(WISHES, minutes=1)) == ""


def test_a_queue_without_a_bound_is_missed() -> None:
    unbounded = CrowdResult(whole_by_status={200: 11}, num_cut=1, num_told=12)
    without = replace(seen(), warm_up=unbounded, main=unbounded)
    assert "no bound" in missed(without)
    assert "no bound" not in missed(without, replace(WISHES, num_clients=8))


@pytest.mark.parametrize(
    ("ending", "what"),
    [
        (Ending(1, 0), "code 1"),
        (Ending(None, 0), "code None"),
        (Ending(0, 1), "processes_after_exit is 1"),
    ],
)
def test_an_end_that_is_none_is_missed(ending: Ending, what: str) -> None:
    assert what in missed(replace(seen(), ending=ending))


def test_what_clients_found_wrong_is_missed_with_its_count() -> None:
    result = crowd()
    result.faults = [Fault("chat", "status 500", 3)]
    assert "3 x chat: status 500" in missed(replace(seen(), main=result))


def test_a_chart_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "soak.png"
    draw(verdict_of(WISHES, seen()), seen(), path)
    assert path.read_bytes().startswith(b"\x89PNG")
