"""Owns whether a Hugging Face folder may be given to an engine: its files, and that none is code.

Reads no weights, and knows no engine. Links are followed: a hub's cache is made of them.
"""

import itertools
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from backends.model_checks.bounded_file import shown, unusable
from backends.model_checks.json_files import read_json_fields, read_json_object
from backends.model_checks.safetensors_check import check_safetensors
from core.errors import ModelLoadError

MAX_FILES = 10_000
MAX_CONFIG_BYTES = 16 << 20
MAX_TOKENIZER_BYTES = 256 << 20
MAX_TEMPLATE_BYTES = 4 << 20
_PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
_WEIGHTS = ".safetensors"
_INDEX = "model.safetensors.index.json"
# What may name code of its own; all are objects, and what else is JSON is none of an engine's.
_CONFIGS = frozenset(
    {
        "config.json",
        "generation_config.json",
        "preprocessor_config.json",
        "processor_config.json",
        "sentence_bert_config.json",
        "tokenizer_config.json",
        "video_preprocessor_config.json",
    }
)
_READ = (".json", ".jinja", _WEIGHTS)


def check_folder(folder: Path) -> None:
    """Raises ModelLoadError with one line that says what is wrong, without the folder's path."""
    files = _files(folder)
    for name in ("config.json", "tokenizer.json"):
        if name not in files:
            raise unusable(folder.name, f"it has no {name}")
    _check_configs(folder, files)
    read_json_fields(folder / "tokenizer.json", MAX_TOKENIZER_BYTES)
    if files.get("chat_template.jinja", 0) > MAX_TEMPLATE_BYTES:
        raise unusable("chat_template.jinja", f"it is larger than {MAX_TEMPLATE_BYTES} bytes")
    _check_weights(folder, files)


def _files(folder: Path) -> dict[str, int]:
    """Sizes by name, of those that engines read. Opens none: a pipe would wait for its writer."""
    sizes: dict[str, int] = {}
    try:
        with os.scandir(folder) as entries:
            listed = list(itertools.islice(entries, MAX_FILES + 1))
    except OSError as error:
        raise unusable(folder.name, f"it can't be read ({error.strerror})") from error
    if len(listed) > MAX_FILES:
        raise unusable(folder.name, f"it holds more than {MAX_FILES} files")
    for entry in listed:
        if entry.name.lower().endswith(_READ) or Path(entry.name).suffix in _PICKLES:
            sizes[entry.name] = _regular_size(entry)
    return sizes


def _regular_size(entry: os.DirEntry[str]) -> int:
    try:
        state = entry.stat()
    except OSError as error:
        raise unusable(entry.name, f"it can't be read ({error.strerror})") from error
    if not stat.S_ISREG(state.st_mode):
        raise unusable(entry.name, "it is no regular file")
    return state.st_size


def _check_configs(folder: Path, files: Mapping[str, int]) -> None:
    for name in sorted(_CONFIGS & files.keys()):
        if _names_code(read_json_object(folder / name, MAX_CONFIG_BYTES)):
            raise unusable(
                name,
                "auto_map names code of the model's own, which is never run; where the engine knows"
                " the architecture itself, remove auto_map from a copy",
            )
    config = read_json_object(folder / "config.json", MAX_CONFIG_BYTES)
    architectures = config.get("architectures", [])
    is_list = isinstance(architectures, list) and all(isinstance(a, str) for a in architectures)
    if not is_list or not isinstance(config.get("model_type"), str):
        raise unusable("config.json", "it names no model_type, or wrong architectures")


def _names_code(config: object) -> bool:
    """Also within: parts of a model have configurations of their own."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if value.get("auto_map"):
                return True
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False


def _check_weights(folder: Path, files: Mapping[str, int]) -> None:
    weights = sorted(name for name in files if name.endswith(_WEIGHTS))
    if not weights:
        raise _no_weights(folder, files)
    if _INDEX in files:
        _check_index(folder, frozenset(weights))
    for name in weights:
        check_safetensors(folder / name)


def _no_weights(folder: Path, files: Mapping[str, int]) -> ModelLoadError:
    pickled = next((name for name in files if Path(name).suffix in _PICKLES), None)
    if pickled is None:
        return unusable(folder.name, "it has no weights (*.safetensors)")
    return unusable(
        folder.name,
        f"its weights are pickles ({pickled}), which can run code and are never read: choose a"
        " model with *.safetensors",
    )


def _check_index(folder: Path, weights: frozenset[str]) -> None:
    places = read_json_object(folder / _INDEX, MAX_TOKENIZER_BYTES).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise unusable(_INDEX, "it has no weight_map")
    missing = next((place for place in places.values() if place not in weights), None)
    if missing is not None:
        raise unusable(_INDEX, f"it names {shown(missing)}, which the folder does not have")
