"""docs/library.md: its examples, as programs of their own, print what it says."""

import asyncio
import os
import re
import subprocess
import sys

import pytest

from tests.engines import ROOT, Engine, serve

PAGE = (ROOT / "docs" / "library.md").read_text()
EXAMPLES = dict(
    zip(
        ("llama.cpp", "vLLM", "remote", "asynchronous"),
        re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL),
        strict=True,
    )
)
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]


async def printed(program: str) -> str:
    """In a file: vLLM's process imports it again."""

    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return await asyncio.to_thread(run)


@pytest.mark.parametrize(
    "name", ["llama.cpp", "asynchronous", pytest.param("vLLM", marks=pytest.mark.long)]
)
async def test_an_example_prints_what_the_page_says(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    code, output = EXAMPLES[name]
    program = tmp_path_factory.mktemp("example") / "program.py"
    program.write_text(code)
    assert await printed(str(program)) == output


async def test_the_remote_example_does_so_beside_a_server(
    llama: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    code, output = EXAMPLES["remote"]
    program = tmp_path_factory.mktemp("example") / "program.py"
    async with serve(llama.backend, "llama_cpp", "chatml") as url:
        program.write_text(code.replace("http://localhost:8000", url))
        assert await printed(str(program)) == output
