"""Owns writing a BERT GGUF as a Hugging Face folder, as sentence-transformers lays one out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.embedding_conversion.bert_gguf import BertGguf, float32_values
from backends.embedding_conversion.bert_names import POSITIONS, TOKEN_TYPES, gguf_names
from backends.embedding_encoder import tokenizer_of_word_pieces
from core.errors import ModelLoadError

_POOLING_DIR = "1_Pooling"
_POOLING_MODES = {"MEAN": "mean_tokens", "CLS": "cls_token", "LAST": "lasttoken"}
_STEPS = "sentence_transformers.models"
_FLOAT_BYTES = 4

Weights = dict[str, NDArray[np.float32]]


def num_bytes(source: BertGguf) -> int:
    """Of the weights in float32."""
    return sum(int(tensor.n_elements) * _FLOAT_BYTES for tensor in source.tensors.values())


def write_folder(source: BertGguf, folder: Path, report: Callable[[float], None]) -> None:
    """`report` gets the share that was read, and may raise to give up. Raises ModelLoadError."""
    weights = _weights(source, report)
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise ModelLoadError(
            f"converting a GGUF for vLLM needs {error.name}: run ./run.sh setup --engine vllm"
        ) from error
    _write(folder / "config.json", _config(source, weights))
    _write(folder / "tokenizer_config.json", _tokenizer_config(source))
    _write(folder / "sentence_bert_config.json", {"max_seq_length": source.window})
    tokenizer_of_word_pieces(source.pieces).save(str(folder / "tokenizer.json"))
    if source.pooling != "RANK":
        _write_steps(source, folder)
    prefix = "bert." if source.pooling == "RANK" else ""
    named = {name if _is_head(name) else prefix + name: v for name, v in weights.items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})


def _weights(source: BertGguf, report: Callable[[float], None]) -> Weights:
    names = gguf_names(int(source.shape["block_count"]), ranks_pairs=source.pooling == "RANK")
    known = set(names.values())
    for name in source.tensors:
        if name not in known:
            raise ModelLoadError(
                f"{source.path.name} has the weights {name}, which no BERT model of Hugging Face's"
                " has: give JARVIS_EMBEDDING_MODEL the model's folder or hub id"
            )
    found: Weights = {}
    for number, (ours, theirs) in enumerate(names.items(), start=1):
        if ours == TOKEN_TYPES and theirs not in source.tensors:
            found[ours] = np.zeros((1, int(source.shape["embedding_length"])), dtype=np.float32)
        elif theirs not in source.tensors:
            raise ModelLoadError(f"{source.path.name} has no weights {theirs}: it is damaged")
        else:
            found[ours] = float32_values(source, theirs)
        report(number / len(names))
    return found


def _config(source: BertGguf, weights: Weights) -> dict[str, Any]:
    ranks = source.pooling == "RANK"
    labels = len(weights["classifier.bias"]) if ranks else 0
    return {
        "architectures": ["BertForSequenceClassification" if ranks else "BertModel"],
        "model_type": "bert",
        "dtype": "float32",
        "hidden_act": "gelu",
        "hidden_size": source.shape["embedding_length"],
        "intermediate_size": source.shape["feed_forward_length"],
        "num_hidden_layers": source.shape["block_count"],
        "num_attention_heads": source.shape["attention.head_count"],
        "layer_norm_eps": source.shape["attention.layer_norm_epsilon"],
        "max_position_embeddings": len(weights[POSITIONS]),
        "position_embedding_type": "absolute",
        "type_vocab_size": len(weights[TOKEN_TYPES]),
        "vocab_size": len(source.pieces.texts),
        **({"id2label": {str(n): f"LABEL_{n}" for n in range(labels)}} if ranks else {}),
        **({"label2id": {f"LABEL_{n}": n for n in range(labels)}} if ranks else {}),
    }


def _tokenizer_config(source: BertGguf) -> dict[str, Any]:
    return {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": source.pieces.lowercase,
        "strip_accents": source.pieces.strips_accents,
        "model_max_length": source.window,
    }


def _write_steps(source: BertGguf, folder: Path) -> None:
    kinds = {"Transformer": "", "Pooling": _POOLING_DIR}
    if source.is_normalized:
        kinds["Normalize"] = "2_Normalize"
    steps = [
        {"idx": number, "name": str(number), "path": path, "type": f"{_STEPS}.{kind}"}
        for number, (kind, path) in enumerate(kinds.items())
    ]
    (folder / _POOLING_DIR).mkdir()
    _write(folder / "modules.json", steps)
    modes = {
        f"pooling_mode_{mode}": name == source.pooling for name, mode in _POOLING_MODES.items()
    }
    width = {"word_embedding_dimension": source.shape["embedding_length"]}
    _write(folder / _POOLING_DIR / "config.json", {**width, **modes})


def _is_head(name: str) -> bool:
    return name.startswith("classifier.")


def _write(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2), encoding="utf-8")
