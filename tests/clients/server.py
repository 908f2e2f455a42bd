"""The server that clients are tried on: a process as users start it, with the shipped model and
an embedding model beside it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.server import ServerProcess
from tests.embedding_engines import minilm_folder, minilm_gguf

MODEL = "jarvis-tiny"
# An alias: the name that clients of OpenAI's have set.
EMBEDDING_MODEL = "text-embedding-3-small"
# Asked for and never looked at: the server has no keys of its own unless it is given some.
API_KEY = "unused"


@dataclass(frozen=True, slots=True)
class Served:
    """A running server: which engine holds its model, and where it listens."""

    engine: str
    url: str

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"


@contextmanager
def served(engine: str, folder: Path, cache: Path) -> Iterator[Served]:
    """A server that knows neither the user's `.env` nor an earlier run's cache, until left."""
    empty = folder / "empty.env"
    empty.touch()
    embedding = minilm_gguf(cache) if engine == "llama_cpp" else minilm_folder()
    server = ServerProcess(
        "--engine",
        engine,
        "--env-file",
        str(empty),
        JARVIS_CACHE_DIR=str(cache),
        JARVIS_EMBEDDING_MODEL=str(embedding),
        JARVIS_EMBEDDING_ALIASES=EMBEDDING_MODEL,
    )
    try:
        url = server.wait_for("serving on ").split("serving on ")[1]
        for _ in ("the chat model", "the embedding model"):
            server.wait_for("state=ready")
        yield Served(engine, url)
        assert server.stop() == 0
    finally:
        server.kill()
