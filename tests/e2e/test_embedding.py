"""An embedding model beside the chat model, as a user starts both: each lives and fails alone."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.server import ServerProcess
from tests.embedding_engines import minilm_folder

pytestmark = pytest.mark.engine

CHAT = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 4}
TEXTS = ["A cat sits on a mat.", "A kitten is sitting.", "Share prices fell today."]


@contextmanager
def started(cache: Path, engine: str, model: Path) -> Iterator[httpx.Client]:
    """When both models have loaded or failed, and the server ends well with the block."""
    empty = cache / "empty.env"
    empty.touch()
    flags = ("--engine", engine, "--env-file", str(empty))
    server = ServerProcess(*flags, JARVIS_CACHE_DIR=str(cache), JARVIS_EMBEDDING_MODEL=str(model))
    try:
        with server.client() as client:
            wait_for_both(server)
            yield client
        assert server.stop() == 0
    finally:
        server.kill()


def wait_for_both(server: ServerProcess) -> None:
    missing = {"backends.delegate", "backends.embedding_delegate"}
    while missing:
        line = server.wait_for("state=")
        missing -= {name for name in missing if f" {name} " in line}


def embedded(client: httpx.Client) -> list[list[float]]:
    answered = client.post("/v1/embeddings", json={"input": TEXTS})
    assert answered.status_code == 200, answered.text
    return [each["embedding"] for each in answered.json()["data"]]


def cosine(one: list[float], other: list[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.long
def test_one_command_serves_both_models_and_a_change_of_engine_alone_changes_no_vector(
    cache: Path,
) -> None:
    vectors: dict[str, list[list[float]]] = {}
    for engine in ("llama_cpp", "vllm"):
        with started(cache, engine, minilm_folder()) as client:
            vectors[engine] = embedded(client)
            assert client.post("/v1/chat/completions", json=CHAT).status_code == 200
            state: dict[str, Any] = client.get("/health/ready").json()
            assert (state["state"], state["embedding"]["state"]) == ("ready", "ready")
            cards = client.get("/v1/models").json()["data"]
            assert [each["max_model_len"] for each in cards] == [4096, 256]
            assert cards[1]["id"] == minilm_folder().name
    for ours, theirs in zip(vectors["llama_cpp"], vectors["vllm"], strict=True):
        assert cosine(ours, theirs) >= 0.999
    alike, other = vectors["vllm"][1:]
    assert cosine(vectors["llama_cpp"][0], alike) > cosine(vectors["llama_cpp"][0], other)


def test_an_embedding_model_that_can_not_load_leaves_the_chat_model_alone(cache: Path) -> None:
    broken = cache / "broken.gguf"
    broken.write_bytes(b"GGUF and no more")
    with started(cache, "llama_cpp", broken) as client:
        state: dict[str, Any] = client.get("/health/ready").json()
        assert (state["state"], state["embedding"]["state"]) == ("ready", "failed")
        assert "broken.gguf" in state["embedding"]["reason"]
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 200
        refused = client.post("/v1/embeddings", json={"input": TEXTS})
        assert refused.status_code == 503
        assert "broken.gguf" in refused.json()["error"]["message"]
