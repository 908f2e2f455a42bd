"""./run.sh bench as a user meets it, and which cases a command line chooses."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.__main__ import parser
from benchmarks.cases import CASES, QUICK, Choice, chosen
from benchmarks.servers.kinds import SERVERS

ROOT = Path(__file__).resolve().parents[2]


def test_its_help_names_every_case_and_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    shown = "".join(capsys.readouterr().out.split())
    for word in ("--report", "--rounds", *SERVERS, *(case.name for case in CASES)):
        assert word in shown


def test_the_script_knows_the_word() -> None:
    script = (ROOT / "run.sh").read_text()
    shown = subprocess.run(
        [str(ROOT / "run.sh"), "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "./run.sh bench [args]" in shown
    assert "-m benchmarks" in script


def test_all_cases_have_room_in_their_models_and_differ() -> None:
    assert all(case.has_room for case in CASES)
    assert len({(case.name, case.model) for case in CASES}) == len(CASES)
    assert {case.name for case in CASES} >= set(QUICK)


def test_cases_are_chosen_by_name_pattern_or_group() -> None:
    assert [case.name for case in chosen(Choice(("long-arrives",)))] == ["long-arrives"]
    assert {case.name for case in chosen(Choice(("*-8",)))} == {"clients-8", "decode-8", "vllm-8"}
    assert len(chosen(Choice(("growth-context",)))) == 5
    assert chosen(Choice(("none",))) == []


def test_a_model_that_is_named_goes_before_the_cases_own() -> None:
    found = chosen(Choice(("clients-8",), models=("tiny",)))
    assert [(case.name, case.model) for case in found] == [("clients-8", "tiny")]


def test_the_first_server_stays_whoever_is_asked_for() -> None:
    (case,) = chosen(Choice(("decode-8",), servers=("llama-server",)))
    assert [each.label for each in case.contestants] == ["ours", "llama-server"]
    assert chosen(Choice(("one-at-a-time",), servers=("vllm",))) == []


def test_every_contestant_is_a_known_server() -> None:
    known = {*SERVERS, "llama-batched-bench"}
    assert {each.server for case in CASES for each in case.contestants} <= known
