"""The command as users call it: without engines on files, and once on both engines."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from parity.__main__ import main
from parity.comparison import compare
from parity.findings import Difference, answer
from parity.parts import OF_CHAT_MODELS, Part
from parity.report import Report, table, write_page
from parity.transcript import load, save
from tests.embedding_engines import minilm_gguf
from tests.parity_command.made_up import changed, chat, token, transcript

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = '<script>alert("1")</script>'


def saved(folder: Path, *, differs: bool) -> list[str]:
    right = transcript("right")
    if differs:
        right = changed(right, Part.GREEDY, 1, chat(token(HOSTILE)))
    paths = [folder / "a.json", folder / "b.json"]
    save(transcript(), paths[0])
    save(right, paths[1])
    return list(map(str, paths))


@pytest.mark.parametrize(("differs", "code"), [(False, 0), (True, 1)])
def test_files_are_compared_without_an_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], differs: bool, code: int
) -> None:
    files = saved(tmp_path, differs=differs)
    assert main(["--compare", *files, "--out", str(tmp_path)]) == code
    shown = capsys.readouterr().out
    assert f"may I switch engines? {'no' if differs else 'yes'}" in shown
    assert (tmp_path / "parity.html").is_file()


def test_what_models_write_is_escaped_in_the_page(tmp_path: Path) -> None:
    saved(tmp_path, differs=True)
    left, right = load(tmp_path / "a.json"), load(tmp_path / "b.json")
    findings = tuple(compare(left, right))
    hostile = replace(left, capabilities={"engine": HOSTILE})
    labelled = replace(findings[0], first=Difference("", "", "", "", "", (HOSTILE, "x")))
    findings = (labelled, *findings[1:])
    report = Report(hostile, right, findings, answer(findings), note=HOSTILE)
    write_page(report, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert page.count("<rect") == left.size.num_tokens + 1
    assert "token 0: no tie" in page
    assert "<script>" in table(report)


@pytest.mark.parametrize("text", ["", "{}", '{"version": 99}', "[1]"])
def test_files_that_are_no_transcripts_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    both = [str(tmp_path / "a.json"), str(tmp_path / "missing.json")]
    assert main(["--compare", *both]) == 2
    assert "a.json" in capsys.readouterr().err


@pytest.mark.engine
def test_a_model_that_is_not_there_ends_the_command_soon(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parity", "--model", "/no/such.gguf", "--out", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "/no/such.gguf" in ended.stderr


@pytest.mark.engine
@pytest.mark.long
def test_the_shipped_model_may_switch_engines(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parity", "--out", str(tmp_path)]
    sizes = ["--prompts", "6", "--tokens", "12"]
    ended = subprocess.run(
        [*command, *sizes], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "may I switch engines? yes: every answer was the same" in ended.stdout
    assert ended.stdout.count("  same\n") == len(OF_CHAT_MODELS)
    assert "embeddings" not in ended.stdout
    assert load(tmp_path / "vllm.json").engine.startswith("vllm")


def test_more_embedding_models_than_engines_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--embedding-model", "a", "b", "c"])
    assert ended.value.code == 2
    assert "one for each engine" in capsys.readouterr().err


@pytest.mark.engine
def test_an_embedding_model_is_asked_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parity", "--out", str(tmp_path), "--engine", "llama_cpp"]
    sizes = ["--prompts", "2", "--tokens", "4", "--embedding-model", str(minilm_gguf(tmp_path))]
    ended = subprocess.run(
        [*command, *sizes], cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = load(tmp_path / "llama_cpp.json")
    told = next(each for each in compare(found, found) if each.part is Part.EMBEDDINGS)
    assert told.measured == "2 vectors, 12 lists of scores"
    assert told.agreement.startswith("cosines 1.000000 and more")
    assert found.capabilities["embedding"]["dimensions"] == 384


@pytest.mark.engine
def test_an_embedding_model_that_is_not_there_ends_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "parity", "--out", str(tmp_path), "--engine", "llama_cpp"]
    asked = [*command, "--embedding-model", "/no/such.gguf"]
    ended = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "/no/such.gguf" in ended.stderr
