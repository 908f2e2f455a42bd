"""Owns the way from a model's path to a running engine: everything of a start that blocks.

Runs in one thread, off the event loop. Gives up between its steps once it is cancelled.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.base import ModelCard
from backends.conversion_listener import Listener
from backends.vllm_engine.conversion import Form, convert
from backends.vllm_engine.engine_args import (
    EngineModel,
    compute_dtype,
    engine_args,
    unsupported_fields,
)
from backends.vllm_engine.environment import prepare_environment
from backends.vllm_engine.folder import read_folder
from backends.vllm_engine.gguf_file import read_gguf
from backends.vllm_engine.tokenizer import HuggingFaceTokenizer
from backends.vllm_engine.vocabulary import read_vocabulary
from backends.weights_digest import weights_digest
from core.errors import ModelLoadError
from core.sampling_defaults import recommended_values
from core.settings import Settings

if TYPE_CHECKING:
    from backends.vllm_engine.engine import VllmEngine

_BLOCK_BYTES = 8 << 20
_INSTALL = "run ./run.sh setup --engine vllm"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A running engine and what the seam tells of it."""

    engine: "VllmEngine"
    card: ModelCard
    tokenizer: HuggingFaceTokenizer


def load(settings: Settings, path: Path, listener: Listener) -> Loaded:
    """Raises ModelLoadError, ConfigurationError; EngineUnavailable where it was cancelled."""
    prepare_environment(settings, os.environ)
    listener.tell("importing vLLM")
    vllm = import_vllm()
    model = _find_model(vllm, settings, path, listener)
    folder = read_folder(model.config_path)
    args = engine_args(settings, model, vllm.argument_names(), is_cpu=vllm.is_cpu())
    read = read_vocabulary(folder)
    tokenizer = HuggingFaceTokenizer(folder.tokenizer_text)
    digest = weights_digest(path, listener.check)
    listener.tell("starting the engine process")
    engine = vllm.VllmEngine(args, settings.default_context_window)
    card = ModelCard(
        name=settings.served_model_id,
        vocabulary=read.vocabulary,
        context_window=engine.context_window,
        num_slots=engine.num_slots,
        chat_template=folder.chat_template,
        is_byte_level=read.is_byte_level,
        engine_build=build_of(args),
        weights_digest=digest,
        recommended=recommended_values(folder.generation_config, "generation_config.json"),
        unsupported_fields=unsupported_fields(settings),
    )
    return Loaded(engine, card, tokenizer)


def build_of(args: Mapping[str, Any]) -> str:
    """What computes, in which version and which number formats."""
    # The library's own word: its distribution goes by other names too.
    version = getattr(sys.modules["vllm"], "__version__", "of an unknown version")
    facts = [f"vllm {version}", args["dtype"], f"KV cache {args.get('kv_cache_dtype', 'auto')}"]
    return ", ".join(facts + [args[name] for name in ("quantization",) if name in args])


def import_vllm() -> Any:
    """The module `engine`. Raises ModelLoadError where there is no vLLM."""
    if importlib.util.find_spec("vllm") is None:
        raise ModelLoadError(f"vLLM is not installed: {_INSTALL}")
    _read_ahead("torch")
    try:
        from backends.vllm_engine import engine
    except ImportError as error:
        raise ModelLoadError(f"vLLM can't be imported ({error}): {_INSTALL}") from error
    return engine


def _find_model(vllm: Any, settings: Settings, path: Path, listener: Listener) -> EngineModel:
    """A GGUF is converted, but for vLLM builds that read it themselves (not tried: needs CUDA)."""
    if path.is_dir():
        return EngineModel(path, path, compute_dtype(settings, read_folder(path).dtype))
    if not path.is_file():
        raise ModelLoadError(f"there is no model file or folder {path}")
    listener.tell(f"reading {path.name}")
    source = read_gguf(path)
    dtype = compute_dtype(settings, "float32" if source.is_float32 else None)
    reads_gguf = vllm.reads_gguf()
    form = Form(dtype, has_weights=not reads_gguf)
    folder = convert(source, settings.cache_dir / "converted", form, listener)
    return EngineModel(path if reads_gguf else folder, folder, dtype)


def _read_ahead(package: str) -> None:
    """Loading a native library holds the interpreter's lock until its pages are in memory.

    Reading the files first, which holds no lock, keeps the event loop alive on a cold disk.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for library in sorted(Path(folder, "lib").glob("*.so*")):
            _read_through(library)


def _read_through(file: Path) -> None:
    with file.open("rb") as opened:
        while opened.read(_BLOCK_BYTES):
            pass
