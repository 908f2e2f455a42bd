"""./run.sh soak as a user meets it: a very short one, and its flags."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from soak.__main__ import parser

ROOT = Path(__file__).resolve().parents[2]


def test_its_flags_have_defaults_and_bounds() -> None:
    flags = parser().parse_args(["--set", "JARVIS_MAX_QUEUE=3", "--set", "A=b=c"])
    assert (flags.minutes, flags.clients, flags.engine) == (30, 64, "llama_cpp")
    assert dict(flags.set) == {"JARVIS_MAX_QUEUE": "3", "A": "b=c"}


@pytest.mark.parametrize(
    "wrong", [("--minutes", "0"), ("--clients", "1"), ("--set", "A"), ("--engine", "other")]
)
def test_wrong_flags_are_refused(
    wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(wrong)
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def soak(out: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "soak", "--out", str(out), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.engine
@pytest.mark.long
def test_a_short_soak_keeps_every_reach(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    done = soak(out, "--minutes", "0.15", "--clients", "8")
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert json.loads(out.read_text()) == line
    assert line["missed"] == []
    assert line["exactly_once"]["clients"] == line["exactly_once"]["server"] > 0
    assert line["canaries"] > 0
    assert out.with_suffix(".png").stat().st_size > 0


@pytest.mark.engine
def test_a_server_that_does_not_start_is_an_error_of_its_own(tmp_path: Path) -> None:
    done = soak(tmp_path / "soak.json", "--set", "JARVIS_MAX_QUEUE=many")
    assert done.returncode == 2
    assert "JARVIS_MAX_QUEUE" in done.stderr
    assert not (tmp_path / "soak.json").exists()
