"""Owns what a command line, the environment and `.env` ask of the set-up. Installs nothing.

Reads `.env` by itself: python-dotenv is among what is yet to be installed.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from scripts.setup.accelerators import Accelerator
from scripts.setup.errors import SetupError

_Choice = TypeVar("_Choice", bound=StrEnum)


class Engine(StrEnum):
    """What can be chosen to answer. With REMOTE other servers do, and no list but the base's is
    needed.
    """

    LLAMA_CPP = "llama_cpp"
    VLLM = "vllm"
    REMOTE = "remote"


_LOCAL = (Engine.LLAMA_CPP, Engine.VLLM)


class Purpose(StrEnum):
    """What an environment is wanted for. Tests try everything, the benchmarks included."""

    SERVE = "serve"
    TEST = "test"
    BENCH = "bench"
    PARITY = "parity"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to install: the engines, for what purpose, and for which accelerator."""

    engines: tuple[Engine, ...]
    purpose: Purpose
    accelerator: Accelerator
    cache_dir: Path


def wishes(
    arguments: Sequence[str], *, purpose: Purpose, environ: Mapping[str, str], root: Path
) -> Wishes:
    """Flags over the environment over `.env`. Raises SetupError for a value that isn't one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--engine")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--env-file", type=Path, default=root / ".env")
    names_engine = purpose in (Purpose.SERVE, Purpose.PARITY)
    flags = parser.parse_known_args(arguments if names_engine else [])[0]
    values = {**read_env_file(flags.env_file), **{k: v for k, v in environ.items() if v}}
    engine = flags.engine or values.get("JARVIS_INFERENCE_ENGINE") or Engine.LLAMA_CPP
    chosen = _choice(Engine, "JARVIS_INFERENCE_ENGINE", engine)
    accelerator = values.get("JARVIS_ACCELERATOR") or Accelerator.AUTO
    return Wishes(
        # What only asks other servers opens no engine.
        engines=() if flags.check else _engines(chosen, purpose, is_named=bool(flags.engine)),
        purpose=purpose,
        accelerator=_choice(Accelerator, "JARVIS_ACCELERATOR", accelerator),
        cache_dir=_cache_dir(values),
    )


def _engines(chosen: Engine, purpose: Purpose, *, is_named: bool) -> tuple[Engine, ...]:
    """Benchmarks of vLLM take part where it is installed already: it is large. Engines are compared
    with each other, unless a flag names one.
    """
    every = {Purpose.TEST: _LOCAL, Purpose.BENCH: (Engine.LLAMA_CPP,)}
    if not is_named:
        every[Purpose.PARITY] = _LOCAL
    return every.get(purpose, (chosen,))


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=value lines, with optional quotes, `export` and comments. No file gives nothing."""
    if not path.is_file():
        return {}
    values: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            values[name.strip()] = _unquoted(value.strip())
    return {name: value for name, value in values.items() if value}


def _unquoted(value: str) -> str:
    if value[:1] in ("'", '"'):
        return value[1:].partition(value[0])[0]
    return "" if value.startswith("#") else value.partition(" #")[0].rstrip()


def _cache_dir(values: Mapping[str, str]) -> Path:
    if values.get("JARVIS_CACHE_DIR"):
        return Path(values["JARVIS_CACHE_DIR"]).expanduser()
    return Path(values.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jarvis-llm-proxy"


def _choice(kind: type[_Choice], name: str, text: str) -> _Choice:
    try:
        return kind(text)
    except ValueError:
        allowed = ", ".join(kind)
        raise SetupError(f"{name}={text!r} is not allowed; allowed: {allowed}") from None
