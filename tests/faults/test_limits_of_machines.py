"""A server whose machine gives out: no memory for the model, no room on the disk. Real limits."""

import asyncio
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.server import ROOT, Program

CHAT = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "temperature": 0}
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
# A file system of its own, that this process and its children alone see.
SMALL_DISK = """
import os, subprocess, sys
mount = ["mount", "-t", "tmpfs", "-o", f"size={sys.argv[1]}", "tmpfs", sys.argv[2]]
subprocess.run(mount, check=True)
os.execv(sys.executable, [sys.executable, *sys.argv[3:]])
"""


pytestmark = [pytest.mark.engine, pytest.mark.long]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[list[Program]]:
    """The servers of one test, which end with it."""
    servers: list[Program] = []
    yield servers
    for server in servers:
        server.kill()


def main_arguments(tmp_path: Path) -> list[str]:
    empty = tmp_path / "empty.env"
    empty.touch()
    return [str(ROOT / "main.py"), "--port", "0", "--env-file", str(empty)]


def client_of(server: Program) -> httpx.Client:
    url = server.wait_for("serving on ").split("serving on ")[1]
    return httpx.Client(base_url=url, timeout=60)


def test_a_model_for_which_there_is_no_memory_leaves_a_server_that_says_so(
    tmp_path: Path, cache: Path, serving: list[Program]
) -> None:
    """Four GiB of addresses, and a KV cache of many more."""
    environment: Any = {
        "JARVIS_CACHE_DIR": str(cache),
        "JARVIS_LLAMA_KV_LAYOUT": "shared",
        "JARVIS_LLAMA_KV_TOKENS": "4000000",
    }
    arguments = [LIMITED, str(4 << 30), *main_arguments(tmp_path)]
    server = Program("-c", *arguments, **environment)
    serving.append(server)
    with client_of(server) as client:
        server.wait_for("state=failed")
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["state"]) == (503, "failed")
        assert ready.json()["reason"]
        assert client.get("/health").status_code == 200
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 503
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.output)


def test_a_full_disk_keeps_nobody_from_an_answer(tmp_path: Path, serving: list[Program]) -> None:
    """Responses are kept on it, and what is known of models."""
    disk = tmp_path / "small"
    disk.mkdir()
    environment: Any = {
        "JARVIS_CACHE_DIR": str(disk / "cache"),
        "JARVIS_RESPONSE_STORE": str(disk / "responses.sqlite"),
    }
    own_root = ["unshare", "--map-root-user", "--mount"]
    program = [*own_root, sys.executable, "-c", SMALL_DISK, "256k", str(disk)]
    subprocess.run([*own_root, "true"], check=True)
    server = Program("-c", _RUN, *program, *main_arguments(tmp_path), **environment)
    serving.append(server)
    with client_of(server) as client:
        server.wait_for("state=ready")
        alone = client.post("/v1/chat/completions", json=CHAT).json()["choices"]
        kept = [respond(client, number) for number in range(16)]
        assert all(response["status"] in ("completed", "incomplete") for response in kept)
        assert "was not kept" in "".join(server.output)
        assert client.get("/health/ready").status_code == 200
        assert client.post("/v1/chat/completions", json=CHAT).json()["choices"] == alone
        found = [client.get(f"/v1/responses/{each['id']}").status_code for each in kept]
        assert found[0] == 200
        assert set(found) <= {200, 404, 500}
        assert 404 in found or 500 in found
    assert server.stop() == 0


def demanding(number: int) -> dict[str, Any]:
    """Each wants memory of its own kind: a long prompt, scores, a grammar."""
    content = f"{number} " + "word " * (400 if number % 2 else 1)
    wanted = {"type": "object", "properties": {f"key{number}": {"type": "string"}}}
    return {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 100,
        "logprobs": True,
        "top_logprobs": 20,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": wanted}},
    }


async def statuses(url: httpx.URL, count: int) -> list[int]:
    """0 where the connection broke."""
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:

        async def one(number: int) -> int:
            try:
                answer = await client.post("/v1/chat/completions", json=demanding(number))
            except httpx.RemoteProtocolError:
                return 0
            return answer.status_code

        return await asyncio.gather(*map(one, range(count)))


@pytest.mark.parametrize("slack_mib", [2, 64])
@pytest.mark.parametrize("engine", ["llama_cpp", "vllm"])
def test_memory_that_runs_out_later_ends_requests_and_the_engine_or_the_process(
    engine: str, slack_mib: int, tmp_path: Path, cache: Path, serving: list[Program]
) -> None:
    """Native code may give up the process: then by a signal, which a supervisor answers."""
    arguments = [*main_arguments(tmp_path), "--engine", engine]
    server = Program(*arguments, JARVIS_CACHE_DIR=str(cache))
    serving.append(server)
    with client_of(server) as client:
        server.wait_for("state=ready")
        alone = client.post("/v1/chat/completions", json=CHAT).json()["choices"]
        held = [psutil.Process(server.pid), *server.children()]
        children = held[1:]
        largest = max(held, key=lambda each: each.memory_info().rss)
        limit = largest.memory_info().vms + (slack_mib << 20)
        largest.rlimit(psutil.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        found = set(asyncio.run(statuses(client.base_url, 48)))
        if server.has_ended or 0 in found:
            assert server.wait() != 0
            assert not psutil.wait_procs(children, timeout=60)[1], "no process is left behind"
            return
        assert found <= {200, 500, 503}
        with suppress(psutil.NoSuchProcess):
            largest.rlimit(psutil.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        while client.get("/health/ready").status_code != 200:
            assert not server.has_ended
        assert client.post("/v1/chat/completions", json=CHAT).json()["choices"] == alone
    assert server.stop() == 0


_RUN = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"


def respond(client: httpx.Client, number: int) -> dict[str, Any]:
    body = {"input": f"{number} " + "word " * 1500, "max_output_tokens": 16}
    response = client.post("/v1/responses", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer
