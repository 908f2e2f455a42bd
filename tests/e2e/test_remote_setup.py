"""A start that needs no engine: what is installed for it, and that this suffices."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from scripts.setup.components import needed
from scripts.setup.environment import Environment
from scripts.setup.wishes import Purpose, wishes
from tests.upstream_servers import (
    MODEL_ID,
    ROOT,
    Launch,
    UpstreamServer,
    inherited,
    jarvis,
    remote,
    running,
)

pytestmark = pytest.mark.engine

# Runs a program with nothing of what the base list does not name, but for Python's own.
ONLY_BASE = """
import re, runpy, sys
from importlib.metadata import packages_distributions

def plain(name):
    return re.sub("[-_.]+", "-", name).lower()

lines = open("requirements-base.txt").read().splitlines()
base = {plain(line.partition("==")[0]) for line in lines if "==" in line}
owners = packages_distributions()
left_out = {name for name, all in owners.items() if base.isdisjoint(map(plain, all))}

class LeftOut:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in left_out:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

assert {"torch", "vllm", "llama_cpp", "httpx"} <= left_out
sys.meta_path.insert(0, LeftOut)
sys.path.insert(0, "")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def with_base_alone(launch: Launch) -> Launch:
    python, *rest = launch.command
    return replace(launch, command=(python, "-c", ONLY_BASE, *rest))


@pytest.fixture(scope="module")
def upstream(cache: Path) -> Iterator[UpstreamServer]:
    with running(jarvis(cache)) as (server,):
        yield server


def checked(base_url: str) -> subprocess.CompletedProcess[str]:
    launch = with_base_alone(remote(VLLM_BASE_URL=base_url))
    return subprocess.run(
        [*launch.command, "--check"],
        cwd=ROOT,
        env={**inherited(), **launch.environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_base_list_is_enough_to_serve_models_of_others(upstream: UpstreamServer) -> None:
    question = {
        "model": f"vllm/{MODEL_ID}",
        "messages": [{"role": "user", "content": "Hello! What are you?"}],
        "temperature": 0,
        "max_tokens": 8,
    }
    start = with_base_alone(remote(VLLM_BASE_URL=upstream.base_url))
    with running(start) as (proxy,):
        response = httpx2.post(f"{proxy.base_url}/chat/completions", json=question, timeout=60)
    assert response.status_code == 200, response.text
    assert response.headers["x-jarvis-upstream"] == "vllm"
    content = response.json()["choices"][0]["message"]["content"]
    assert content == "I am Jarvis, a tiny language model"


def test_a_check_tells_by_its_exit_code_whether_all_can_be_reached(
    upstream: UpstreamServer,
) -> None:
    """The server is gone after it: no test of it comes later."""
    base_url = upstream.base_url
    done = checked(base_url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert MODEL_ID in done.stdout
    upstream.kill()
    gone = checked(base_url)
    assert gone.returncode == 1, gone.stdout + gone.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The set-up's files, and a server that only tells how it was called."""
    for name in ("run.sh", "requirements-base.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup_environment.py", tmp_path / "scripts")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "scripts" / "setup", tmp_path / "scripts" / "setup", ignore=ignore)
    (tmp_path / "main.py").write_text("import sys\nprint(*sys.argv[1:])\n")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(folder / "run.sh"), *arguments],
        env=inherited(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_run_sh_installs_the_base_alone_and_passes_flags_on(copy: Path) -> None:
    environment = Environment(copy / ".venv")
    # Without pip: whoever tries to install into it fails.
    command = [sys.executable, "-m", "venv", "--without-pip", str(environment.folder)]
    subprocess.run(command, check=True)
    wanted = wishes([], purpose=Purpose.SERVE, environ={}, root=copy)
    base = needed(wanted, copy)[0]
    environment.stamps.finish(base.kind, base.fingerprint)
    for flags in (("--engine", "remote", "--port", "0"), ("--check",)):
        done = run(copy, *flags)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{' '.join(flags)}\n", "")
    (copy / ".env").write_text("JARVIS_INFERENCE_ENGINE=remote\n")
    assert (run(copy).returncode, run(copy, "setup").stdout) == (0, "")


def test_the_help_names_it() -> None:
    shown = run(ROOT, "--help").stdout
    for word in ("remote", "--check", "VLLM_BASE_URL", "upstreams.toml"):
        assert word in shown
