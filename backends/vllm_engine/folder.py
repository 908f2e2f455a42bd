"""Owns reading the JSON files of a Hugging Face folder. Knows no tokens and no engine."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ModelLoadError


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The files as they are written; those that a model need not have are empty if missing."""

    path: Path
    config: Mapping[str, Any]
    generation_config: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any]
    tokenizer_text: str

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The part of `config` that describes the language model: multimodal models nest it."""
        nested = self.config.get("text_config")
        return {**self.config, **nested} if isinstance(nested, dict) else self.config

    @property
    def chat_template(self) -> str | None:
        """The default template, from its own file or the tokenizer's configuration."""
        file = self.path / "chat_template.jinja"
        if file.is_file():
            return _read(file)
        template = self.tokenizer_config.get("chat_template")
        if isinstance(template, list):
            named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
            template = named.get("default")
        return template if isinstance(template, str) else None

    @property
    def dtype(self) -> str | None:
        """The number format of the weights, such as "bfloat16"."""
        config = self.text_config
        dtype = config.get("dtype", config.get("torch_dtype"))
        return dtype.removeprefix("torch.") if isinstance(dtype, str) else None


def read_folder(path: Path) -> ModelFolder:
    """Raises ModelLoadError naming the file that is missing or damaged."""
    return ModelFolder(
        path=path,
        config=_json(path / "config.json", is_needed=True),
        generation_config=_json(path / "generation_config.json", is_needed=False),
        tokenizer_config=_json(path / "tokenizer_config.json", is_needed=False),
        tokenizer_text=_read(path / "tokenizer.json"),
    )


def _json(file: Path, *, is_needed: bool) -> Mapping[str, Any]:
    if not is_needed and not file.exists():
        return {}
    try:
        value = json.loads(_read(file))
    except ValueError as error:
        raise ModelLoadError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelLoadError(f"{file} holds no JSON object")
    return value


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelLoadError(f"the model folder has no {file.name}: {file.parent}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{file} can't be read: {error}") from error
