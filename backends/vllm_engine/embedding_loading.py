"""Owns the way from a model's path to a running embedding engine: all of a start that blocks.

Runs in one thread, off the event loop. Gives up between its steps once it is cancelled.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.conversion_listener import Listener
from backends.embedding import EmbeddingCard
from backends.embedding_conversion.bert_folder import trained_window
from backends.embedding_encoder import TextEncoder, encoder_of_json
from backends.embedding_inputs import LONGEST_WINDOW
from backends.vllm_engine.embedding_folder import is_normalized, ranks_pairs
from backends.vllm_engine.engine_args import compute_dtype
from backends.vllm_engine.environment import prepare_environment
from backends.vllm_engine.folder import ModelFolder, read_folder
from backends.vllm_engine.loading import build_of, import_vllm
from backends.vllm_engine.token_types import token_types
from backends.weights_digest import weights_digest
from core.errors import ModelLoadError
from core.settings import Settings, VllmDtype

if TYPE_CHECKING:
    from backends.vllm_engine.embedding_engine import EmbeddingEngine

# Encoders keep nothing; what a decoder keeps of the inputs at work fits into this.
_CACHE_BYTES = 256 << 20
_MAX_INPUTS = 64
# Beside the chat model's share of a GPU. The cache's size is given, so this is a bound alone.
_GPU_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """What is to be loaded: a Hugging Face folder or a GGUF, and the name it is served by."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class LoadedEmbedding:
    """A running engine and what the seam tells of it."""

    engine: "EmbeddingEngine"
    card: EmbeddingCard
    encoder: TextEncoder


def load_embedding(
    settings: Settings, model: EmbeddingModel, listener: Listener
) -> LoadedEmbedding:
    """Raises ModelLoadError; EngineUnavailable where it was cancelled."""
    prepare_environment(settings, os.environ)
    folder = read_folder(_readable(model.path, settings, listener))
    ranks = ranks_pairs(folder)
    encoder = encoder_of_json(folder.tokenizer_text)
    digest = weights_digest(model.path, listener.check)
    listener.tell("importing vLLM")
    import_vllm()
    from backends.vllm_engine.embedding_engine import EmbeddingEngine, is_cpu

    args = _engine_args(settings, folder, is_cpu=is_cpu())
    kinds = token_types(folder.config, encoder.encode_pair("", "")) if ranks else None
    listener.tell("starting the embedding engine's process")
    engine = EmbeddingEngine(args, _longest_window(folder), kinds)
    card = EmbeddingCard(
        name=model.name,
        num_dimensions=1 if ranks else engine.num_dimensions,
        context_window=engine.context_window,
        vocabulary_size=int(folder.text_config["vocab_size"]),
        is_normalized=not ranks and is_normalized(folder),
        ranks_pairs=ranks,
        engine_build=build_of(args),
        weights_digest=digest,
    )
    return LoadedEmbedding(engine, card, encoder)


def _readable(path: Path, settings: Settings, listener: Listener) -> Path:
    if path.is_dir():
        return path
    if not path.is_file():
        raise ModelLoadError(f"there is no model file or folder {path}")
    # Here and not at the top: importing gguf may take seconds.
    from backends.embedding_conversion.converting import folder_of_gguf

    return folder_of_gguf(path, settings.cache_dir, listener)


def _longest_window(folder: ModelFolder) -> int:
    """vLLM itself would take a window that is longer than the positions, and die of it."""
    if folder.config.get("model_type") != "bert":
        return LONGEST_WINDOW
    return min(LONGEST_WINDOW, trained_window(folder.path, folder.config))


def _engine_args(settings: Settings, folder: ModelFolder, *, is_cpu: bool) -> dict[str, Any]:
    """Of the settings that are the chat model's, only the number format counts here too."""
    dtype = compute_dtype(settings, folder.dtype)
    if is_cpu and settings.vllm_dtype is VllmDtype.AUTO:
        dtype = "float32"
    return {
        "model": str(folder.path),
        "dtype": dtype,
        "runner": "pooling",
        "skip_tokenizer_init": True,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "enable_prefix_caching": False,
        "enforce_eager": is_cpu,
        "max_num_seqs": _MAX_INPUTS,
        "kv_cache_memory_bytes": _CACHE_BYTES,
        "gpu_memory_utilization": _GPU_SHARE,
    }
