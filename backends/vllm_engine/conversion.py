"""Owns the cache of GGUF files converted to Hugging Face folders, keyed by their content.

A folder is whole or not there: it is written beside its place and renamed. Knows no engine.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from backends.conversion_listener import Listener, only_one
from backends.vllm_engine.gguf_file import GgufModel
from backends.vllm_engine.gguf_tokenizer import adds_bos, build_tokenizer
from backends.vllm_engine.weights import write_config, write_model
from core.errors import ModelLoadError

CONVERTER_VERSION = 2
_ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_SPARE_BYTES = 256 << 20
_HASH_BLOCK_BYTES = 8 << 20
# generation_config.json's word for a top_k that keeps all.
_ALL_IDS = 0


@dataclass(frozen=True, slots=True)
class Form:
    """What a folder holds. Without weights, it describes the GGUF to an engine that reads that."""

    dtype: str
    has_weights: bool = True

    def __str__(self) -> str:
        return self.dtype if self.has_weights else f"{self.dtype}-config"


def convert(source: GgufModel, cache: Path, form: Form, listener: Listener) -> Path:
    """The folder, written first if it isn't there. Blocks. Raises ModelLoadError."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        key = f"{_content_key(source.path, cache, listener)}-{form}-v{CONVERTER_VERSION}"
        folder = cache / key
        if not folder.is_dir():
            _write_once(source, folder, form, listener)
        return folder
    except OSError as error:
        raise ModelLoadError(
            f"{source.path.name} can't be converted for vLLM under {cache}: "
            f"{error.strerror or error}; JARVIS_CACHE_DIR names another place"
        ) from error


def _write_once(source: GgufModel, folder: Path, form: Form, listener: Listener) -> None:
    with only_one(folder.with_name(f"{folder.name}.lock"), listener):
        if not folder.is_dir():
            _write(source, folder, form, listener)


def _write(source: GgufModel, folder: Path, form: Form, listener: Listener) -> None:
    num_bytes = source.num_weights * _ITEM_BYTES[form.dtype] if form.has_weights else 0
    _check_space(source, folder.parent, num_bytes)
    step = f"converting {source.path.name} to safetensors ({_size(num_bytes)}, {form.dtype})"
    # Under the lock, so what lies there is from a run that was killed.
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        listener.tell(step)
        write_tokenizer(source, partial)
        listener.check()
        if form.has_weights:
            write_model(source, partial, form.dtype, lambda share: listener.tell(step, share))
        else:
            write_config(source, partial, form.dtype)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_tokenizer(source: GgufModel, folder: Path) -> None:
    """All of a Hugging Face folder but the model. Raises ModelLoadError."""
    vocabulary = source.vocabulary
    build_tokenizer(vocabulary).save(str(folder / "tokenizer.json"))
    tokens = vocabulary.tokens
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": adds_bos(vocabulary),
        "bos_token": None if vocabulary.bos_id is None else tokens[vocabulary.bos_id],
        "eos_token": None if vocabulary.eos_id is None else tokens[vocabulary.eos_id],
        "clean_up_tokenization_spaces": False,
    }
    recommended = source.recommended.items()
    generation_config = {
        "bos_token_id": vocabulary.bos_id,
        "eos_token_id": list(vocabulary.end_ids),
        **{name: _ALL_IDS if value is None else value for name, value in recommended},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=2))
    (folder / "generation_config.json").write_text(json.dumps(generation_config, indent=2))
    if source.chat_template is not None:
        (folder / "chat_template.jinja").write_text(source.chat_template, encoding="utf-8")


def _content_key(path: Path, cache: Path, listener: Listener) -> str:
    """The file's sha256. Kept for the same path, size and time: hashing gigabytes takes long."""
    stat = path.stat()
    facts = f"{path.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}"
    memo = cache / f"{hashlib.sha256(facts.encode()).hexdigest()}.sha256"
    if memo.is_file():
        return memo.read_text()
    digest = hashlib.sha256()
    step = f"reading {path.name} ({_size(stat.st_size)})"
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK_BYTES):
            digest.update(block)
            listener.tell(step, file.tell() / max(stat.st_size, 1))
    whole = memo.with_suffix(f".{os.getpid()}")
    whole.write_text(digest.hexdigest())
    whole.replace(memo)
    return digest.hexdigest()


def _check_space(source: GgufModel, place: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(place).free
    if free < num_bytes + _SPARE_BYTES:
        raise ModelLoadError(
            f"converting {source.path.name} for vLLM needs {_size(num_bytes + _SPARE_BYTES)} in "
            f"{place}, where {_size(free)} are free; JARVIS_CACHE_DIR names another place"
        )


def _size(num_bytes: int) -> str:
    gib = num_bytes / (1 << 30)
    return f"{gib:.1f} GiB" if gib >= 1 else f"{num_bytes / (1 << 20):.0f} MiB"
