"""Owns reading a Hugging Face BERT folder, with what sentence-transformers wrote beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POOLING_MODES = {
    "pooling_mode_mean_tokens": "MEAN",
    "pooling_mode_cls_token": "CLS",
    "pooling_mode_lasttoken": "LAST",
}


class UnsuitableModel(Exception):
    """The folder holds another kind of model. The message is one line."""


@dataclass(frozen=True, slots=True)
class BertFolder:
    """What the files say. `window` is the most tokens of one input, special ones included.

    `pooling` is MEAN, CLS or LAST, or RANK for a model that gives a pair one score. `tokenizer` is
    tokenizer.json.
    """

    path: Path
    config: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    window: int
    pooling: str
    is_normalized: bool

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"


def read_bert_folder(path: Path) -> BertFolder:
    """Raises UnsuitableModel."""
    config = _object(path / "config.json")
    if config.get("model_type") != "bert":
        raise UnsuitableModel(f"{path} holds a {config.get('model_type')} model, not a bert one")
    if config.get("hidden_act") != "gelu":
        raise UnsuitableModel(f"hidden_act is {config.get('hidden_act')}; llama.cpp has gelu alone")
    tokenizer = _object(path / "tokenizer.json")
    if tokenizer.get("model", {}).get("type") != "WordPiece":
        raise UnsuitableModel(f"{path / 'tokenizer.json'} is no WordPiece tokenizer")
    modules = _modules(path)
    ranks = _ranks_pairs(path, config)
    positions = int(config["max_position_embeddings"])
    return BertFolder(
        path=path,
        config=config,
        tokenizer=tokenizer,
        window=min(_sentence_length(path) or positions, positions),
        pooling="RANK" if ranks else _pooling(path, modules),
        is_normalized=not ranks and (not modules or "Normalize" in modules),
    )


def _ranks_pairs(path: Path, config: Mapping[str, Any]) -> bool:
    if "BertForSequenceClassification" not in config.get("architectures", ()):
        return False
    num_labels = len(config.get("id2label") or (0, 1))
    if num_labels != 1:
        raise UnsuitableModel(f"{path} sorts into {num_labels} classes: it ranks nothing")
    if config.get("type_vocab_size", 2) != 1:
        raise UnsuitableModel(
            f"{path} tells a query from a document by token types, which llama.cpp leaves out"
        )
    return True


def _modules(path: Path) -> dict[str, str]:
    """The kinds of what follows one another, with each one's folder."""
    file = path / "modules.json"
    listed = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return {str(each["type"]).rsplit(".", 1)[-1]: str(each["path"]) for each in listed}


def _pooling(path: Path, modules: Mapping[str, str]) -> str:
    """Where nothing is said, the mean: what sentence-transformers itself would take."""
    other = set(modules) - {"Transformer", "Pooling", "Normalize"}
    if other:
        raise UnsuitableModel(f"a GGUF can't hold the step {', '.join(sorted(other))} of {path}")
    if "Pooling" not in modules:
        return "MEAN"
    config = _object(path / modules["Pooling"] / "config.json")
    chosen = [name for name, value in config.items() if name.startswith("pooling_mode") and value]
    if len(chosen) != 1 or chosen[0] not in _POOLING_MODES:
        raise UnsuitableModel(f"a GGUF can't hold the pooling {', '.join(chosen)} of {path}")
    return _POOLING_MODES[chosen[0]]


def _sentence_length(path: Path) -> int | None:
    file = path / "sentence_bert_config.json"
    length = _object(file).get("max_seq_length") if file.is_file() else None
    return int(length) if length else None


def _object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnsuitableModel(f"{file} can't be read: {error}") from error
    if not isinstance(value, dict):
        raise UnsuitableModel(f"{file} holds no JSON object")
    return value
