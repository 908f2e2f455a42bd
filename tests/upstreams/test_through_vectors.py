"""Vectors and rankings of another server's embedding model, as it makes them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.embedding_engines import minilm_gguf
from tests.upstream_servers import UpstreamServer, jarvis, remote, running
from tests.upstreams.through import entry, opened, stable, upstreams_file

pytestmark = pytest.mark.engine

MODEL = "text-embedding-3-small"
TEXTS = ["A cat sleeps.", "Ein Käfer fliegt.", "Numbers: 1, 2, 3"]


@pytest.fixture(scope="module")
def embedder(cache: Path) -> Iterator[UpstreamServer]:
    settings = {
        "JARVIS_EMBEDDING_MODEL": str(minilm_gguf(cache)),
        "JARVIS_EMBEDDING_ALIASES": MODEL,
    }
    with running(jarvis(cache, **settings)) as (server,):
        # Its chat model's; the embedding model's is the second.
        _ = server.root_url
        yield server


@pytest.fixture(scope="module")
def before(
    embedder: UpstreamServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UpstreamServer]:
    folder = tmp_path_factory.mktemp("before_embedder")
    path = upstreams_file(folder, entry("vectors", "jarvis", embedder.base_url))
    with running(remote(JARVIS_UPSTREAMS_FILE=str(path))) as (server,):
        yield server


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("embeddings", {"input": TEXTS}),
        ("embeddings", {"input": TEXTS, "encoding_format": "base64", "dimensions": 16}),
        ("embeddings", {"input": "Hello", "no_such_field": 1}),
        ("embeddings", {"input": []}),
        ("rerank", {"query": "animals", "documents": TEXTS}),
        ("score", {"text_1": "animals", "text_2": TEXTS}),
    ],
)
def test_vectors_are_the_upstream_s_own(
    embedder: UpstreamServer, before: UpstreamServer, path: str, body: dict[str, Any]
) -> None:
    with opened(embedder) as direct, opened(before) as through:
        own = direct.post(f"/v1/{path}", json=body | {"model": MODEL})
        for name in (MODEL, f"vectors/{MODEL}"):
            told = through.post(f"/v1/{path}", json=body | {"model": name})
            assert told.status_code == own.status_code, told.text
            assert told.headers["x-jarvis-upstream"] == "vectors"
            if own.status_code == httpx2.codes.OK:
                assert stable(told.content) == stable(own.content)
            else:
                assert told.json()["error"] == own.json()["error"] | {"upstream": "vectors"}


def test_openai_s_client_reads_them(before: UpstreamServer) -> None:
    with openai.OpenAI(base_url=before.base_url, api_key="unused") as client:
        found = client.embeddings.create(model=MODEL, input=TEXTS)
    assert [len(each.embedding) for each in found.data] == [384] * len(TEXTS)
