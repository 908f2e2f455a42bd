"""Owns how vLLM is asked for the same engine, through our server and through its own."""

import importlib.util
import json
import os
import threading
from typing import Any

from benchmarks import places
from benchmarks.servers.base import ServerUnavailable, Setup, clean_environ


def settings(setup: Setup) -> dict[str, str]:
    """Variables of our server. Raises ServerUnavailable where vLLM isn't installed."""
    if importlib.util.find_spec("vllm") is None:
        raise ServerUnavailable("vLLM is not installed: ./run.sh setup --engine vllm")
    return {
        "JARVIS_INFERENCE_ENGINE": "vllm",
        "JARVIS_MODEL_NAME": str(setup.model),
        "JARVIS_MODEL_CONTEXT_WINDOW": str(setup.slot_tokens),
        "JARVIS_VLLM_MAX_NUM_SEQS": str(setup.num_slots),
        "JARVIS_VLLM_CPU_KVCACHE_GIB": "1",
        "JARVIS_CACHE_DIR": str(places.cache_dir()),
    }


def environ(setup: Setup) -> dict[str, str]:
    """The variables that our engine sets for vLLM."""
    from backends.vllm_engine.environment import prepare_environment

    variables = clean_environ(os.environ)
    prepare_environment(_loaded(setup), variables)
    return variables


def flags(setup: Setup) -> list[str]:
    """vLLM's own flags for the arguments that our engine gives it, the tokenizer apart."""
    from backends.conversion_listener import Listener
    from backends.vllm_engine.conversion import Form, convert
    from backends.vllm_engine.engine_args import EngineModel, compute_dtype, engine_args
    from backends.vllm_engine.gguf_file import read_gguf

    loaded = _loaded(setup)
    source = read_gguf(setup.model)
    dtype = compute_dtype(loaded, "float32" if source.is_float32 else None)
    listener = Listener(lambda _: None, threading.Event())
    folder = convert(source, loaded.cache_dir / "converted", Form(dtype), listener)
    model = EngineModel(folder, folder, dtype)
    arguments: dict[str, Any] = engine_args(loaded, model, (), is_cpu=True)
    # Ours makes text of ids by itself; a server of its own needs the tokenizer.
    del arguments["skip_tokenizer_init"]
    arguments["max_model_len"] = setup.slot_tokens
    return [flag for name, value in arguments.items() for flag in _flag(name, value)]


def _loaded(setup: Setup) -> Any:
    from core.settings import load_settings

    return load_settings(settings(setup) | dict(setup.settings), environ={}, env_file=None)


def _flag(name: str, value: object) -> list[str]:
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    if isinstance(value, list):
        # Of lists vLLM wants the words, one after the other.
        return [f"--{dashed}", *value]
    return [f"--{dashed}", value if isinstance(value, str) else json.dumps(value)]
