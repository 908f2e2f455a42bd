"""Owns how each kind of server is started. Knows no load and starts nothing itself."""

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks import places
from benchmarks.peers_build import PeersBuildError, built
from benchmarks.servers import vllm_launch
from benchmarks.servers.base import (
    MODEL,
    Launch,
    Server,
    ServerUnavailable,
    Setup,
    clean_environ,
)

_HOST = "127.0.0.1"
# Read instead of the user's own .env.
_NO_SETTINGS = Path(__file__).with_name("no_settings.env")


def _never_ending() -> dict[str, Any]:
    return {"ignore_eos": True}


def _named_model() -> dict[str, Any]:
    return {"model": MODEL}


@dataclass(frozen=True, slots=True)
class Ours:
    """This project's server with either engine."""

    engine: str
    body: Mapping[str, Any] = field(default_factory=dict)

    def launch(self, setup: Setup, port: int) -> Launch:
        if self.engine == "vllm":
            settings = vllm_launch.settings(setup)
        else:
            settings = {
                "JARVIS_INFERENCE_ENGINE": "llama_cpp",
                "JARVIS_MODEL_NAME": str(setup.model),
                "JARVIS_MODEL_CONTEXT_WINDOW": str(setup.slot_tokens),
                "JARVIS_LLAMA_KV_TOKENS": str(setup.kv_tokens),
                "JARVIS_LLAMA_MAX_NUM_SEQS": str(setup.num_slots),
                "JARVIS_LLAMA_THREADS": str(setup.threads),
            }
        return _launch_of_ours(setup, port, settings)


@dataclass(frozen=True, slots=True)
class OursInFront:
    """This project's server with no engine of its own, in front of the server behind it."""

    body: Mapping[str, Any] = field(default_factory=_named_model)

    def launch(self, setup: Setup, port: int) -> Launch:
        assert setup.behind is not None, "it stands in front of another one"
        file = setup.folder / f"upstreams-{port}.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        upstream = {
            "name": "behind",
            "kind": setup.behind.kind,
            "base_url": f"http://{_HOST}:{setup.behind.port}/v1",
            "models": [MODEL],
        }
        # JSON's texts and lists are TOML's.
        lines = [f"{name} = {json.dumps(value)}" for name, value in upstream.items()]
        file.write_text("\n".join(["[[upstreams]]", *lines, ""]), encoding="utf-8")
        settings = {
            "JARVIS_INFERENCE_ENGINE": "remote",
            "JARVIS_UPSTREAMS_FILE": str(file.resolve()),
        }
        return _launch_of_ours(setup, port, settings)


def _launch_of_ours(setup: Setup, port: int, settings: Mapping[str, str]) -> Launch:
    own = {
        **settings,
        **setup.settings,
        "JARVIS_CACHE_DIR": str(places.cache_dir()),
        "JARVIS_MODEL_ALIASES": MODEL,
    }
    flags = ("--host", _HOST, "--port", str(port), "--env-file", str(_NO_SETTINGS))
    command = (sys.executable, str(setup.checkout / "main.py"), *flags)
    return Launch(command, {**clean_environ(os.environ), **own}, "/health/ready")


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """llama.cpp's own server, of the version that our engine is made of."""

    body: Mapping[str, Any] = field(default_factory=_never_ending)

    def launch(self, setup: Setup, port: int) -> Launch:
        try:
            program = built().path("llama-server")
        except PeersBuildError as error:
            raise ServerUnavailable(str(error)) from error
        options = {
            "--model": str(setup.model),
            "--parallel": str(setup.num_slots),
            "--ctx-size": str(setup.kv_tokens),
            "--threads": str(setup.threads),
            "--host": _HOST,
            "--port": str(port),
        }
        flags = (part for pair in options.items() for part in pair)
        return Launch((str(program), *flags), clean_environ(os.environ), "/health")


@dataclass(frozen=True, slots=True)
class LlamaCppPython:
    """llama-cpp-python's own server, which answers one request after another."""

    body: Mapping[str, Any] = field(default_factory=dict)

    def launch(self, setup: Setup, port: int) -> Launch:
        if importlib.util.find_spec("starlette_context") is None:
            raise ServerUnavailable("starlette-context is not installed: ./run.sh bench does that")
        options = {
            "--model": str(setup.model),
            "--n_ctx": str(setup.slot_tokens),
            "--n_threads": str(setup.threads),
            "--n_threads_batch": str(setup.threads),
            # Else a new request ends the one that is being answered.
            "--interrupt_requests": "false",
            "--flash_attn": "true",
            "--logits_all": "false",
            "--verbose": "false",
            "--host": _HOST,
            "--port": str(port),
        }
        flags = (part for pair in options.items() for part in pair)
        command = (sys.executable, "-m", "llama_cpp.server", *flags)
        return Launch(command, clean_environ(os.environ), "/v1/models")


@dataclass(frozen=True, slots=True)
class Vllm:
    """vLLM's own server on the folder that our engine reads, with the arguments that it gets."""

    body: Mapping[str, Any] = field(default_factory=_never_ending)

    def launch(self, setup: Setup, port: int) -> Launch:
        flags = ("--host", _HOST, "--port", str(port), "--served-model-name", MODEL)
        module = ("-m", "vllm.entrypoints.openai.api_server")
        command = (sys.executable, *module, *flags, *vllm_launch.flags(setup))
        return Launch(command, vllm_launch.environ(setup), "/health")


@dataclass(frozen=True, slots=True)
class Instant:
    """Answers at once, to show what the client itself can take."""

    body: Mapping[str, Any] = field(default_factory=dict)

    def launch(self, setup: Setup, port: int) -> Launch:
        return _launch_of_bench("benchmarks.servers.instant", str(port))


@dataclass(frozen=True, slots=True)
class Paced:
    """Answers at a pace of its own, as a server on another machine does."""

    tokens_per_s: int
    body: Mapping[str, Any] = field(default_factory=dict)

    def launch(self, setup: Setup, port: int) -> Launch:
        return _launch_of_bench("benchmarks.servers.paced", str(port), str(self.tokens_per_s))


def _launch_of_bench(module: str, *arguments: str) -> Launch:
    environ = {**clean_environ(os.environ), "PYTHONPATH": str(places.ROOT)}
    return Launch((sys.executable, "-m", module, *arguments), environ, "/health")


# The one that stands in front of another, and what that is to it; "openai" where it is not named.
IN_FRONT = "ours-in-front"
UPSTREAM_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "ours": "jarvis",
        "ours-vllm": "jarvis",
        "vllm": "vllm",
        "llama-server": "llama_cpp",
        "llama_cpp.server": "llama_cpp",
    }
)
SERVERS: Mapping[str, Server] = MappingProxyType(
    {
        "ours": Ours("llama_cpp"),
        "ours-vllm": Ours("vllm"),
        "llama-server": LlamaServer(),
        "llama_cpp.server": LlamaCppPython(),
        "vllm": Vllm(),
        "instant": Instant(),
        "paced-30": Paced(30),
        "paced-60": Paced(60),
        "paced-120": Paced(120),
        IN_FRONT: OursInFront(),
    }
)
