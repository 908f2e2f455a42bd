"""Makes small random cross-encoders for tests: BERT folders with the words of all-MiniLM-L6-v2."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.embedding_engines import minilm_folder

_WIDTH, _INNER, _LAYERS, _POSITIONS, _WORDS = 64, 128, 2, 128, 30522


def make_cross_encoder(folder: Path, *, num_token_types: int) -> Path:
    """The same weights in every run, but for those of the token types."""
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": _WIDTH,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": 2,
        "max_position_embeddings": _POSITIONS,
        "type_vocab_size": num_token_types,
        "vocab_size": _WORDS,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(minilm_folder() / name, folder / name)
    save_file(_weights(num_token_types), folder / "model.safetensors", {"format": "pt"})
    return folder


def _weights(num_token_types: int) -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(5)
    made: dict[str, np.ndarray[Any, Any]] = {}

    def add(name: str, *shape: int) -> None:
        made[f"{name}.weight"] = rng.normal(0, 0.3, shape).astype(np.float32)

    def add_layer(name: str, num_out: int, num_in: int) -> None:
        add(name, num_out, num_in)
        made[f"{name}.bias"] = rng.normal(0, 0.3, num_out).astype(np.float32)

    def add_norm(name: str) -> None:
        made[f"{name}.weight"] = np.ones(_WIDTH, dtype=np.float32)
        made[f"{name}.bias"] = np.zeros(_WIDTH, dtype=np.float32)

    add("bert.embeddings.word_embeddings", _WORDS, _WIDTH)
    add("bert.embeddings.position_embeddings", _POSITIONS, _WIDTH)
    add_norm("bert.embeddings.LayerNorm")
    for layer in range(_LAYERS):
        block = f"bert.encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            add_layer(f"{block}.attention.self.{part}", _WIDTH, _WIDTH)
        add_layer(f"{block}.attention.output.dense", _WIDTH, _WIDTH)
        add_norm(f"{block}.attention.output.LayerNorm")
        add_layer(f"{block}.intermediate.dense", _INNER, _WIDTH)
        add_layer(f"{block}.output.dense", _WIDTH, _INNER)
        add_norm(f"{block}.output.LayerNorm")
    add_layer("bert.pooler.dense", _WIDTH, _WIDTH)
    add_layer("classifier", 1, _WIDTH)
    add("bert.embeddings.token_type_embeddings", num_token_types, _WIDTH)
    return made
