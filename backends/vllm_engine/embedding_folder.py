"""Owns what a Hugging Face folder says of the vectors its model makes. Knows no engine."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backends.vllm_engine.folder import ModelFolder
from core.errors import ModelLoadError

_CLASSIFIER = "ForSequenceClassification"
_WRITERS = ("ForCausalLM", "ForConditionalGeneration")


def is_normalized(folder: ModelFolder) -> bool:
    """As the steps say that sentence-transformers wrote down; without any, vLLM's own default."""
    steps = steps_of(folder.path)
    return not steps or any(str(step.get("type", "")).endswith("Normalize") for step in steps)


def ranks_pairs(folder: ModelFolder) -> bool:
    """Raises ModelLoadError for a model that makes neither vectors nor one score."""
    architectures = folder.config.get("architectures") or [""]
    name = str(architectures[0])
    if name.endswith(_WRITERS) and not steps_of(folder.path):
        raise ModelLoadError(
            f"{folder.path.name} is no embedding model: a {name} without a modules.json that says"
            " how its vectors are made"
        )
    if not name.endswith(_CLASSIFIER):
        return False
    num_labels = len(folder.config.get("id2label") or (0, 1))
    if num_labels != 1:
        raise ModelLoadError(
            f"{folder.path.name} sorts into {num_labels} classes: it ranks nothing"
        )
    return True


def steps_of(path: Path) -> list[Mapping[str, Any]]:
    """What modules.json lists; nothing where there is none. Raises ModelLoadError."""
    file = path / "modules.json"
    if not file.is_file():
        return []
    try:
        steps = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{file} can't be read: {error}") from error
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ModelLoadError(f"{file} holds no list of steps")
    return steps
