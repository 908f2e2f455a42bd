"""docs/clients.md: its examples print what it says, and its versions are those that are tried."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.javascript_programs import NODE, PROGRAMS
from tests.clients.server import Served
from tests.e2e.server import ROOT

PAGE = (ROOT / "docs" / "clients.md").read_text()
EXAMPLES = re.findall(r"```(python|javascript)\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)
NAMES = ["openai", "openai-js", "anthropic", "langchain", "litellm", "instructor", "pydantic-ai"]


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", path.read_text(), re.MULTILINE))


@pytest.mark.engine
# On one engine: most of their time is the clients' own start.
@pytest.mark.parametrize("server", ["llama_cpp"], indirect=True, scope="session")
@pytest.mark.parametrize(("language", "code", "output"), EXAMPLES, ids=NAMES)
def test_an_example_prints_what_the_page_says(
    server: Served, language: str, code: str, output: str
) -> None:
    command = [sys.executable, "-c"]
    if language == "javascript":
        command = [str(NODE), "--input-type=module", "--eval"]
    done = subprocess.run(
        [*command, code.replace("http://localhost:8000", server.url)],
        cwd=PROGRAMS,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == output, done.stderr


def test_the_versions_of_the_page_are_those_that_are_tried() -> None:
    tried = pins(ROOT / "requirements-dev.txt") | pins(ROOT / "requirements-clients.txt")
    lock = json.loads((PROGRAMS / "package-lock.json").read_text())
    tried["openai, Python"] = tried["openai"]
    tried["openai, JavaScript"] = lock["packages"]["node_modules/openai"]["version"]
    tried["pydantic-ai"] = tried["pydantic-ai-slim"]
    told = dict(re.findall(r"^\| ([^|]+?) \| ([0-9.]+) \|", PAGE, re.MULTILINE))
    assert len(told) == len(NAMES)
    assert told == {name: tried[name] for name in told}
