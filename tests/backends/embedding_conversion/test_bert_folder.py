"""How a Hugging Face folder is read before it is written as GGUF, and which are refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from backends.embedding_conversion.bert_folder import read_bert_folder
from core.errors import ModelLoadError
from tests.embedding_engines import minilm_folder

CONFIG = {"model_type": "bert", "hidden_act": "gelu", "max_position_embeddings": 512}
RANKING = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}


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


def test_the_tokenizers_window_counts_where_positions_are_called_absolute(tmp_path: Path) -> None:
    folder_of(tmp_path, tokenizer_config={"model_max_length": 100})
    assert read_bert_folder(tmp_path).window == 512
    absolute = {**CONFIG, "position_embedding_type": "absolute"}
    assert read_bert_folder(folder_of(tmp_path, config=absolute)).window == 100
    folder_of(tmp_path, config=absolute, tokenizer_config={"model_max_length": 1e30})
    assert read_bert_folder(tmp_path).window == 512


def test_what_is_left_open_is_what_vllm_takes_it_for(tmp_path: Path) -> None:
    read = read_bert_folder(folder_of(tmp_path, config={"model_type": "bert"}))
    assert (read.pooling, read.is_normalized, read.window) == ("CLS", True, 512)
    assert (read.config["num_hidden_layers"], read.config["layer_norm_eps"]) == (12, 1e-12)


@pytest.mark.parametrize(
    ("modes", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}, "MEAN"),
        ({"pooling_mode_cls_token": True}, "CLS"),
        ({"pooling_mode_lasttoken": True}, "LAST"),
        ({"pooling_mode": "mean"}, "MEAN"),
    ],
)
def test_the_pooling_is_that_of_the_steps(
    tmp_path: Path, modes: Mapping[str, object], pooling: str
) -> None:
    folder_of(tmp_path, modules=steps("Transformer", "Pooling"), **{"1_Pooling/config": modes})
    read = read_bert_folder(tmp_path)
    assert (read.pooling, read.is_normalized) == (pooling, False)
    folder_of(tmp_path, modules=steps("Transformer", "Pooling", "Normalize"))
    assert read_bert_folder(tmp_path).is_normalized


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"config": {**CONFIG, "model_type": "llama"}}, "only those of type bert .* give JARVIS"),
        ({"config": {**CONFIG, "hidden_act": "relu"}}, "computes with relu"),
        ({"config": {**CONFIG, "position_embedding_type": "relative_key"}}, "relative_key"),
        ({"config": {**CONFIG, "hidden_size": "wide"}}, "hidden_size is 'wide'"),
        ({"config": {**CONFIG, "max_position_embeddings": None}}, "max_position_embeddings"),
        ({"config": []}, "no JSON object"),
        ({"tokenizer": {"model": {"type": "BPE"}}}, "no WordPiece tokenizer"),
        ({"tokenizer": [1]}, "no WordPiece tokenizer"),
        ({"modules": {"type": "Pooling"}}, "no list of steps"),
        ({"modules": steps("Transformer", "Pooling", "Dense")}, "the step Dense"),
        ({"modules": steps("Transformer", "Pooling")}, r"1_Pooling/config\.json can't be read"),
        (
            {
                "modules": steps("Transformer", "Pooling"),
                "1_Pooling/config": {"pooling_mode_max_tokens": True},
            },
            "the pooling pooling_mode_max_tokens",
        ),
        ({"config": {**CONFIG, **RANKING, "id2label": {"0": "a", "1": "b"}}}, "into 2 classes"),
        ({"config": {**CONFIG, **RANKING}}, "by token types"),
        ({"config": {**CONFIG, "architectures": ["LlamaForCausalLM"]}}, "is no embedding model"),
    ],
)
def test_what_a_gguf_cannot_hold_is_refused_in_a_line(
    tmp_path: Path, files: dict[str, object], reason: str
) -> None:
    with pytest.raises(ModelLoadError, match=reason) as caught:
        read_bert_folder(folder_of(tmp_path, **files))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_json_is_refused_in_a_line(tmp_path: Path) -> None:
    for name in ("config", "tokenizer", "sentence_bert_config", "modules"):
        (folder_of(tmp_path / name) / f"{name}.json").write_text("{")
        with pytest.raises(ModelLoadError, match=rf"{name}\.json") as caught:
            read_bert_folder(tmp_path / name)
        assert "\n" not in str(caught.value)
