"""Owns the folder of models that were made: each is made once. Knows no server."""

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path

from benchmarks import places
from benchmarks.models.gguf_files import write_endless_copy, write_random_model
from benchmarks.models.shapes import SHAPES, TINY
from benchmarks.models.vocabulary import Vocabulary, learned

# Raise it when the same shape gives another file.
_RECIPE = "1"
_SHIPPED = places.ROOT / "models" / "jarvis-tiny.gguf"


def model_file(name: str) -> Path:
    """The GGUF file of a model that `shapes.NAMES` lists, made if it isn't there."""
    facts = _shipped_facts() if name == TINY else json.dumps(asdict(SHAPES[name]))
    key = hashlib.sha256(f"{_RECIPE} {facts}".encode()).hexdigest()[:8]
    path = places.models_dir() / f"bench-{name}-{key}.gguf"
    if path.is_file():
        return path
    print(f"making the model {name} (kept as {path})", flush=True)
    if name == TINY:
        write_endless_copy(_SHIPPED, path)
    else:
        write_random_model(SHAPES[name], _vocabulary(SHAPES[name].vocabulary), path)
    return path


@cache
def _vocabulary(size: int) -> Vocabulary:
    return learned(size)


def _shipped_facts() -> str:
    stat = _SHIPPED.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"
