"""The whole product as a user meets it: one command, one line in `.env`, the same answers."""

from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.server import ROOT, Start

pytestmark = pytest.mark.engine

QUESTION = {
    "messages": [{"role": "user", "content": "Hello! What are you?"}],
    "temperature": 0,
    "max_tokens": 40,
}


def answer(client: httpx.Client) -> dict[str, Any]:
    response = client.post("/v1/chat/completions", json=QUESTION)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return {"choices": body["choices"], "usage": body["usage"], "model": body["model"]}


def test_one_line_in_env_changes_the_engine_and_nothing_else(start: Start, tmp_path: Path) -> None:
    answers, engines = [], []
    for engine in ("llama_cpp", "vllm"):
        env_file = tmp_path / ".env"
        env_file.write_text(f"JARVIS_INFERENCE_ENGINE={engine}\n")
        server = start("--env-file", str(env_file))
        with server.client() as client:
            assert client.get("/health").status_code == 200
            loading = client.get("/health/ready")
            assert loading.status_code == 503
            assert loading.json()["state"] == "loading"
            refused = client.post("/v1/chat/completions", json=QUESTION)
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
            server.wait_for("state=ready")
            ready = client.get("/health/ready")
            assert ready.status_code == 200
            engines.append(ready.json()["engine"])
            answers.append(answer(client))
        children = server.children()
        assert server.stop() == 0
        assert not psutil.wait_procs(children, timeout=10)[1], "no process is left behind"
    assert engines == ["llama_cpp", "vllm"]
    assert answers[0] == answers[1]


def test_a_bad_model_leaves_a_server_that_says_why(start: Start, tmp_path: Path) -> None:
    model = tmp_path / "broken.gguf"
    model.write_bytes((ROOT / "models" / "jarvis-tiny.gguf").read_bytes()[:1_000_000])
    server = start("--model", str(model))
    with server.client() as client:
        server.wait_for("state=failed")
        ready = client.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["state"] == "failed"
        assert "broken.gguf" in ready.json()["reason"]
        assert client.get("/health").status_code == 200
        assert client.post("/v1/chat/completions", json=QUESTION).status_code == 503
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("JARVIS_INFERENCE_ENGINE", "vlllm", "vllm"),
        ("JARVIS_INFERENCE_ENGIN", "vllm", "JARVIS_INFERENCE_ENGINE"),
        ("JARVIS_LLAMA_THREADS", "many", "integer"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line(
    start: Start, variable: str, value: str, words: str
) -> None:
    server = start(**{variable: value})
    line = server.wait_for(variable)
    assert words in line
    assert server.wait() == 2
    assert len(server.output) == 1
