"""./run.sh as a user meets it: its help, its one-line refusals, its check of a finished set-up."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.setup.components import needed
from scripts.setup.environment import Environment
from scripts.setup.wishes import Purpose, wishes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The set-up's files alone, with nothing installed."""
    for path in (ROOT / "run.sh", *ROOT.glob("requirements-*.txt")):
        shutil.copy(path, tmp_path)
    lock = tmp_path / "tests" / "clients" / "javascript" / "package-lock.json"
    lock.parent.mkdir(parents=True)
    shutil.copy(ROOT / lock.relative_to(tmp_path), lock)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup_environment.py", tmp_path / "scripts")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "scripts" / "setup", tmp_path / "scripts" / "setup", ignore=ignore)
    return tmp_path


def run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JARVIS_")}
    return subprocess.run(
        [str(folder / "run.sh"), *arguments],
        env={**inherited, **environ},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )


def with_finished_environment(folder: Path) -> None:
    """An environment without pip: whoever tries to install into it fails."""
    environment = Environment(folder / ".venv")
    command = [sys.executable, "-m", "venv", "--without-pip", str(environment.folder)]
    subprocess.run(command, check=True)
    wanted = wishes([], purpose=Purpose.TEST, environ={}, root=folder)
    for component in needed(wanted, folder):
        environment.stamps.finish(component.kind, component.fingerprint)


def test_help_names_every_word_and_every_flag() -> None:
    shown = run(ROOT, "--help").stdout
    main = (ROOT / "main.py").read_text()
    flags = re.findall(r'add_argument\(\s*"(--[a-z-]+)"', main)
    assert len(flags) >= 6
    for word in ("setup", "test", "bench", "JARVIS_ACCELERATOR", "127.0.0.1:8000", *flags):
        assert word in shown


def test_a_finished_set_up_is_checked_without_installing(copy: Path) -> None:
    with_finished_environment(copy)
    for engine in ("llama_cpp", "vllm"):
        done = run(copy, "setup", "--engine", engine)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_finished_set_up_for_tests_is_checked_without_installing(copy: Path) -> None:
    with_finished_environment(copy)
    program = "from scripts.setup_environment import main; raise SystemExit(main(['test']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=copy, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_wrong_engine_is_one_line(copy: Path) -> None:
    done = run(copy, "setup", JARVIS_INFERENCE_ENGINE="vlm")
    assert done.returncode == 1
    assert done.stderr.startswith("run.sh: JARVIS_INFERENCE_ENGINE='vlm' is not allowed")
    assert done.stderr.count("\n") == 1
    assert not (copy / ".venv").exists()


def test_a_missing_python_is_one_line(copy: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "cat"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    done = run(copy, "setup", PATH=str(tools))
    assert done.returncode == 1
    assert "Python 3.11 or newer was not found: install it" in done.stderr
    assert done.stderr.count("\n") == 1
