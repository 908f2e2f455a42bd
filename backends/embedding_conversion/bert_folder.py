"""Owns reading a Hugging Face BERT folder, with what sentence-transformers wrote beside it.

Where a folder leaves something open, it is read as vLLM reads it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.vllm_engine.embedding_folder import is_normalized, ranks_pairs, steps_of
from backends.vllm_engine.folder import ModelFolder, read_folder
from core.errors import ModelLoadError

_POOLING_MODES = {
    **{"pooling_mode_mean_tokens": "MEAN", "pooling_mode_cls_token": "CLS"},
    "pooling_mode_lasttoken": "LAST",
    # As newer files have it: under one key.
    **{"mean": "MEAN", "cls": "CLS", "lasttoken": "LAST"},
}
_UNSAID_POOLING = "CLS"
# transformers' own, by which vLLM reads config.json.
_UNSAID: Mapping[str, Any] = {
    **{"vocab_size": 30522, "hidden_size": 768, "intermediate_size": 3072},
    **{"num_hidden_layers": 12, "num_attention_heads": 12, "type_vocab_size": 2},
    **{"max_position_embeddings": 512, "layer_norm_eps": 1e-12, "hidden_act": "gelu"},
}
_INSTEAD = "give JARVIS_EMBEDDING_MODEL a GGUF of the model, or set JARVIS_INFERENCE_ENGINE=vllm"


@dataclass(frozen=True, slots=True)
class BertFolder:
    """What the files say. `config` has transformers' values for what config.json leaves out.

    `window` is the most tokens of one input, special ones included. `pooling` is MEAN, CLS or LAST,
    or RANK for a model that gives a pair one score. `tokenizer` is tokenizer.json.
    """

    path: Path
    config: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    window: int
    pooling: str
    is_normalized: bool


def read_bert_folder(path: Path) -> BertFolder:
    """Raises ModelLoadError."""
    folder = read_folder(path)
    ranks = ranks_pairs(folder)
    config = {**_UNSAID, **folder.config}
    _refuse_other_models(path, config)
    if ranks and config["type_vocab_size"] != 1:
        raise ModelLoadError(
            f"{path.name} tells a query from a document by token types, which llama.cpp leaves out:"
            " its scores would be wrong; choose JARVIS_INFERENCE_ENGINE=vllm"
        )
    return BertFolder(
        path=path,
        config=config,
        tokenizer=_word_piece_tokenizer(folder),
        window=trained_window(path, config),
        pooling="RANK" if ranks else _pooling(path),
        is_normalized=not ranks and is_normalized(folder),
    )


def trained_window(path: Path, config: Mapping[str, Any]) -> int:
    """The most tokens of one input: what the sentences were, else what the tokenizer was made for,
    and never more than there are positions. Raises ModelLoadError.
    """
    positions = config.get("max_position_embeddings", _UNSAID["max_position_embeddings"])
    if not isinstance(positions, int):
        raise ModelLoadError(f"{path / 'config.json'}: {positions!r} is no number of positions")
    sentences = _optional(path / "sentence_bert_config.json").get("max_seq_length")
    if isinstance(sentences, int) and sentences > 0:
        return min(sentences, positions)
    if config.get("position_embedding_type") != "absolute":
        return positions
    longest = _optional(path / "tokenizer_config.json").get("model_max_length")
    return int(min(longest, positions)) if isinstance(longest, int | float) else positions


def _refuse_other_models(path: Path, config: Mapping[str, Any]) -> None:
    if config.get("model_type") != "bert":
        raise ModelLoadError(
            f"{path.name} holds a {config.get('model_type')} model, and only those of type bert are"
            f" converted for llama.cpp: {_INSTEAD}"
        )
    for name, unsaid in _UNSAID.items():
        value = config[name]
        if isinstance(unsaid, int) and (not isinstance(value, int) or value < 1):
            raise ModelLoadError(f"{path / 'config.json'}: {name} is {value!r}, which is no size")
    if config["hidden_act"] != "gelu":
        raise ModelLoadError(
            f"{path.name} computes with {config['hidden_act']}, and llama.cpp with gelu alone:"
            " set JARVIS_INFERENCE_ENGINE=vllm"
        )
    positions = config.get("position_embedding_type", "absolute")
    if positions != "absolute":
        raise ModelLoadError(f"{path.name} has {positions} positions: no engine here computes them")


def _word_piece_tokenizer(folder: ModelFolder) -> Mapping[str, Any]:
    file = folder.path / "tokenizer.json"
    try:
        tokenizer = json.loads(folder.tokenizer_text)
    except ValueError as error:
        raise ModelLoadError(f"{file} is not valid JSON: {error}") from error
    model = tokenizer.get("model") if isinstance(tokenizer, dict) else None
    if not isinstance(model, dict) or model.get("type") != "WordPiece":
        raise ModelLoadError(f"{file} is no WordPiece tokenizer: {_INSTEAD}")
    return dict(tokenizer)


def _pooling(path: Path) -> str:
    steps = {str(step.get("type")).rsplit(".", 1)[-1]: step for step in steps_of(path)}
    other = set(steps) - {"Transformer", "Pooling", "Normalize"}
    if other:
        raise ModelLoadError(
            f"a GGUF can't hold the step {', '.join(sorted(other))} of {path.name}: set"
            " JARVIS_INFERENCE_ENGINE=vllm"
        )
    if "Pooling" not in steps:
        return _UNSAID_POOLING
    config = _object(path / str(steps["Pooling"].get("path", "")) / "config.json")
    named = {name: value for name, value in config.items() if name.startswith("pooling_mode")}
    chosen = [value if isinstance(value, str) else name for name, value in named.items() if value]
    if len(chosen) != 1 or chosen[0] not in _POOLING_MODES:
        raise ModelLoadError(
            f"a GGUF can't hold the pooling {', '.join(chosen) or 'none'} of {path.name}"
        )
    return _POOLING_MODES[chosen[0]]


def _optional(file: Path) -> Mapping[str, Any]:
    return _object(file) if file.is_file() else {}


def _object(file: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{file} can't be read: {error}") from error
    if not isinstance(value, dict):
        raise ModelLoadError(f"{file} holds no JSON object")
    return value
