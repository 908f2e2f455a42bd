"""How an embedding model's folder is read and written as GGUF."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file

from scripts.embedding_model.folder import UnsuitableModel, read_bert_folder
from tests.embedding_engines import minilm_folder

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {"model_type": "bert", "hidden_act": "gelu", "max_position_embeddings": 512}


def folder_of(path: Path, **files: object) -> Path:
    """The keys are files, without their suffix."""
    written: Mapping[str, Any] = {"config": CONFIG, "tokenizer": {"model": {"type": "WordPiece"}}}
    for name, value in {**written, **files}.items():
        target = path / f"{name}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(value))
    return path


def steps(*names: str) -> list[dict[str, str]]:
    return [{"type": f"x.{name}", "path": f"1_{name}"} for name in names]


def test_the_window_is_that_of_the_sentences_where_it_is_said(tmp_path: Path) -> None:
    assert read_bert_folder(folder_of(tmp_path)).window == 512
    folder_of(tmp_path, sentence_bert_config={"max_seq_length": 128})
    assert read_bert_folder(tmp_path).window == 128
    folder_of(tmp_path, sentence_bert_config={"max_seq_length": 9999})
    assert read_bert_folder(tmp_path).window == 512
    assert read_bert_folder(minilm_folder()).window == 256


@pytest.mark.parametrize(
    ("mode", "pooling"),
    [("mean_tokens", "MEAN"), ("cls_token", "CLS"), ("lasttoken", "LAST")],
)
def test_the_pooling_is_that_of_the_steps(tmp_path: Path, mode: str, pooling: str) -> None:
    files = {"1_Pooling/config": {f"pooling_mode_{mode}": True, "pooling_mode_max_tokens": False}}
    folder_of(tmp_path, modules=steps("Transformer", "Pooling"), **files)
    read = read_bert_folder(tmp_path)
    assert (read.pooling, read.is_normalized) == (pooling, False)
    folder_of(tmp_path, modules=steps("Transformer", "Pooling", "Normalize"))
    assert read_bert_folder(tmp_path).is_normalized


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"config": {**CONFIG, "model_type": "llama"}}, "not a bert one"),
        ({"config": {**CONFIG, "hidden_act": "relu"}}, "hidden_act is relu"),
        ({"config": []}, "no JSON object"),
        ({"tokenizer": {"model": {"type": "BPE"}}}, "no WordPiece tokenizer"),
        ({"modules": steps("Transformer", "Pooling", "Dense")}, "the step Dense"),
        (
            {
                "modules": steps("Transformer", "Pooling"),
                "1_Pooling/config": {"pooling_mode_max_tokens": True},
            },
            "the pooling pooling_mode_max_tokens",
        ),
        (
            {"config": {**CONFIG, "architectures": ["BertForSequenceClassification"]}},
            "sorts into 2 classes",
        ),
    ],
)
def test_what_a_gguf_cannot_hold_is_refused(
    tmp_path: Path, files: dict[str, object], reason: str
) -> None:
    with pytest.raises(UnsuitableModel, match=reason):
        read_bert_folder(folder_of(tmp_path, **files))


@pytest.mark.timeout(60)
def test_the_command_writes_every_weight_and_says_why_it_can_not(tmp_path: Path) -> None:
    target = tmp_path / "minilm.gguf"
    command = [sys.executable, str(ROOT / "scripts" / "convert_minilm.py")]
    done = subprocess.run(
        [*command, str(minilm_folder()), str(target)], capture_output=True, text=True, check=True
    )
    assert str(target) in done.stdout
    written = {tensor.name: tensor.data for tensor in GGUFReader(target).tensors}
    own = load_file(minilm_folder() / "model.safetensors")
    np.testing.assert_array_equal(
        written["token_embd.weight"], own["embeddings.word_embeddings.weight"]
    )
    assert written["position_embd.weight"].shape == (256, 384)
    assert len(written) == 5 + 16 * 6
    failed = subprocess.run([*command, str(tmp_path), str(target)], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "config.json can't be read" in failed.stderr
    assert failed.stderr.count("\n") == 1
