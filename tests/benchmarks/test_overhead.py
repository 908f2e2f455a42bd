"""What standing in front of another server costs: figures of fixed lines, and one real case."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.cases import CASES, THROUGH, Choice, chosen
from benchmarks.client.closed_loop import run_load
from benchmarks.client.plan import Ask, ClientPlan, LoadPlan
from benchmarks.figures import Spread
from benchmarks.loads import Prompts
from benchmarks.overhead import overhead_table, overheads
from benchmarks.results import Measurement
from benchmarks.rounds import Conditions, measured
from benchmarks.servers.base import Behind, Setup
from benchmarks.servers.instant import serve_connection
from benchmarks.servers.kinds import IN_FRONT, SERVERS
from benchmarks.servers.paced import pacing
from core.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]


def measurement(number: int, first_s: float, rate: float, behind: str | None = None) -> Measurement:
    return Measurement(
        case="upstream-x-16",
        model="tiny",
        round=number,
        server="x" if behind is None else THROUGH,
        is_first=behind is not None,
        behind=behind,
        num_clients=16,
        num_tokens=1000,
        tokens_per_s=rate,
        first_p50_s=first_s,
        first_p95_s=2 * first_s,
        cpu_s_per_1k_tokens=0.05,
    )


LINES = [
    measurement(0, 0.125, 90.0, "x"),
    measurement(0, 0.0625, 100.0),
    measurement(1, 0.25, 100.0, "x"),
    measurement(1, 0.125, 100.0),
    measurement(2, 0.5, 49.0, "x"),
    measurement(2, 0.25, 50.0),
]


def test_differences_and_shares_are_taken_within_a_round() -> None:
    (found,) = overheads(LINES)
    assert (found.case, found.behind) == ("upstream-x-16", "x")
    assert found.first_s == Spread(0.125, 0.0625, 0.25)
    assert found.first_p95_s == Spread(0.25, 0.125, 0.5)
    assert found.rate == Spread(0.98, 0.9, 1.0)


def test_a_round_that_one_of_them_lacks_does_not_count() -> None:
    (found,) = overheads(LINES[:3])
    assert found.rate == Spread(0.9, 0.9, 0.9)


def test_the_table_says_what_it_costs_and_is_empty_without_such_cases() -> None:
    shown = overhead_table(LINES)
    assert "125.00 [62.50, 250.00]" in shown
    assert "98.0 [90.0, 100.0]" in shown
    assert "50 [50, 50]" in shown
    assert overhead_table([each for each in LINES if each.behind is None]) == ""


@pytest.mark.timeout(60)
def test_its_chart_is_drawn_where_there_is_anything(tmp_path: Path) -> None:
    # Here and not at the top: the drawing library takes its time.
    from benchmarks.overhead_chart import draw_overhead

    assert draw_overhead(LINES, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert not draw_overhead(LINES[1:2], tmp_path / "b.png")


async def test_a_paced_server_gives_every_token_an_event_of_its_own() -> None:
    begin = pacing(2000)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_connection(reader, writer, begin)

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        plan = ClientPlan([Ask({"max_tokens": count}) for count in (3, 5)])
        result = await run_load(LoadPlan("127.0.0.1", port, "/v1/completions", [plan, plan]))
    assert [answer.error for answer in result.answers] == [None] * 4
    assert [len(answer.event_times_s) for answer in result.answers] == [3, 5, 3, 5]


def test_uneven_answers_differ_and_are_as_long_for_other_prompts() -> None:
    load = Prompts(4, tokens=64, requests=3, is_uneven=True)

    def lengths(seed: str) -> list[int]:
        return [ask.body["max_tokens"] for plan in load.plans(seed) for ask in plan.asks]

    assert len(set(lengths("a"))) > 6
    assert all(32 <= length <= 96 for length in lengths("a"))
    assert lengths("a") == lengths("b")


def test_ours_in_front_is_told_of_the_server_behind_it_by_a_file(tmp_path: Path) -> None:
    setup = Setup(tmp_path, 1, 256, 1, ROOT, folder=tmp_path, behind=Behind("vllm", 4321))
    launch = SERVERS[IN_FRONT].launch(setup, 1234)
    settings = load_settings({}, environ=launch.environ, env_file=None)
    assert settings.inference_engine == "remote"
    assert settings.upstreams_file is not None
    text = settings.upstreams_file.read_text()
    assert 'base_url = "http://127.0.0.1:4321/v1"' in text
    assert 'kind = "vllm"' in text


def test_who_stands_in_front_is_compared_with_who_is_behind() -> None:
    cases = [case for case in CASES if case.name.startswith("upstream-")]
    assert len(cases) > 8
    for case in cases:
        through, direct = case.contestants
        assert (through.server, through.behind) == (IN_FRONT, direct.label)
        assert direct.behind is None


@pytest.mark.timeout(120)
def test_a_case_is_measured_both_ways(tmp_path: Path) -> None:
    (case,) = chosen(Choice(("upstream-instant-16",)))
    small = replace(case, load=Prompts(2, words=4, tokens=5))
    found = list(measured(small, Conditions(2, 1, ROOT, tmp_path)))
    assert [each.server for each in found] == [THROUGH, "instant", "instant", THROUGH]
    assert [each.behind for each in found] == ["instant", None, None, "instant"]
    assert all((each.num_wrong, each.num_tokens) == (0, 10) for each in found)
