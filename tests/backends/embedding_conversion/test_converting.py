"""A folder becomes a GGUF and a GGUF a folder: the same numbers, ids and facts, or a refusal."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from backends.embedding_conversion.bert_folder import read_bert_folder
from backends.embedding_conversion.bert_gguf import float32_values, read_bert_gguf
from backends.embedding_conversion.converting import folder_of_gguf, gguf_of_folder
from backends.embedding_conversion.safetensors_file import stored_tensors
from backends.embedding_encoder import encoder_of_json
from core.errors import ModelLoadError
from core.lifecycle import LoadProgress
from tests.backends.embedding_conversion.listening import following, unheard
from tests.cross_encoders import make_cross_encoder
from tests.embedding_engines import minilm_folder, minilm_gguf
from tests.engines import MODEL
from tests.parity.embedding_texts import hostile, sentences

pytestmark = pytest.mark.timeout(60)

NUM_WORDS = 2000
WORDS = "bert.embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the first words alone: thirty thousand take a second at each turn."""
    folder = make_cross_encoder(tmp_path_factory.mktemp("made") / "small", num_token_types=1)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())["model"]
    words = {text: number for text, number in tokenizer["vocab"].items() if number < NUM_WORDS}
    edited(folder, "tokenizer.json", model={**tokenizer, "vocab": words})
    weights = load_file(folder / "model.safetensors")
    weights[WORDS] = np.ascontiguousarray(weights[WORDS][:NUM_WORDS])
    save_file(weights, folder / "model.safetensors")
    return edited(folder, "config.json", vocab_size=NUM_WORDS)


@pytest.fixture
def small(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "small")


def refusal(convert: Callable[[], Path]) -> str:
    with pytest.raises(ModelLoadError) as caught:
        convert()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def to_gguf(folder: Path, cache: Path) -> Path:
    return gguf_of_folder(folder, folder.name, cache, unheard())


def to_folder(file: Path, cache: Path) -> Path:
    return folder_of_gguf(file, cache, unheard())


def edited(folder: Path, file: str, **changes: Any) -> Path:
    values = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**values, **changes}))
    return folder


def test_a_folder_comes_back_as_it_was(cache: Path, tmp_path: Path) -> None:
    back = to_folder(minilm_gguf(cache), tmp_path)
    own = load_file(minilm_folder() / "model.safetensors")
    written = load_file(back / "model.safetensors")
    assert set(own) - set(written) == {
        *("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")
    } & set(own)
    for name, values in written.items():
        np.testing.assert_array_equal(values, own[name][: len(values)], err_msg=name)
    assert written[POSITIONS].shape == (256, 384)
    one, other = read_bert_folder(minilm_folder()), read_bert_folder(back)
    for fact in ("window", "pooling", "is_normalized"):
        assert getattr(one, fact) == getattr(other, fact), fact
    for fact in ("hidden_size", "num_attention_heads", "type_vocab_size", "vocab_size"):
        assert one.config[fact] == other.config[fact], fact


def test_the_tokenizer_of_a_gguf_gives_the_ids_of_the_models_own(
    cache: Path, tmp_path: Path
) -> None:
    back = to_folder(minilm_gguf(cache), tmp_path)
    own, made = (
        encoder_of_json((folder / "tokenizer.json").read_text())
        for folder in (minilm_folder(), back)
    )
    texts = [*sentences(200), *hostile(2000), "[CLS] [MASK] before", "a \ud800 b"]
    for text in texts:
        assert own.encode(text) == made.encode(text), repr(text)
    for one, other in zip(texts[:200], texts[-200:], strict=True):
        assert own.encode_pair(one, other) == made.encode_pair(one, other)


@pytest.mark.parametrize("pooling", ["MEAN", "CLS", "LAST"])
def test_every_pooling_and_length_comes_back(tmp_path: Path, small: Path, pooling: str) -> None:
    modes = {"MEAN": "mean_tokens", "CLS": "cls_token", "LAST": "lasttoken"}
    edited(small, "config.json", architectures=["BertModel"])
    steps = [{"type": "x.Pooling", "path": "pool"}]
    (small / "modules.json").write_text(json.dumps(steps))
    (small / "pool").mkdir()
    (small / "pool" / "config.json").write_text(f'{{"pooling_mode_{modes[pooling]}": true}}')
    weights = load_file(small / "model.safetensors")
    kept = {name: each for name, each in weights.items() if not name.startswith("classifier")}
    save_file(kept, small / "model.safetensors")
    back = read_bert_folder(to_folder(to_gguf(small, tmp_path), tmp_path))
    assert (back.pooling, back.is_normalized) == (pooling, False)


def test_a_model_that_ranks_comes_back_with_its_head(tmp_path: Path, small: Path) -> None:
    back = to_folder(to_gguf(small, tmp_path), tmp_path)
    assert read_bert_folder(back).pooling == "RANK"
    own, written = (load_file(folder / "model.safetensors") for folder in (small, back))
    assert set(own) == set(written)
    for name, values in own.items():
        np.testing.assert_array_equal(values, written[name], err_msg=name)


@pytest.mark.parametrize("number_format", ["float16", "bfloat16"])
def test_half_precision_is_widened_exactly(tmp_path: Path, small: Path, number_format: str) -> None:
    import torch
    from safetensors.torch import load_file as load_tensors
    from safetensors.torch import save_file as save_tensors

    file = small / "model.safetensors"
    halves = {n: t.to(getattr(torch, number_format)) for n, t in load_tensors(file).items()}
    save_tensors(halves, file)
    source = read_bert_gguf(to_gguf(small, tmp_path))
    expected = halves["bert.encoder.layer.0.attention.self.query.weight"].float().numpy()
    np.testing.assert_array_equal(float32_values(source, "blk.0.attn_q.weight"), expected)


def test_quantised_weights_are_read_as_llama_cpp_reads_them(tmp_path: Path, small: Path) -> None:
    source = read_bert_gguf(to_gguf(small, tmp_path))
    name = "blk.0.ffn_up.weight"
    exact = float32_values(source, name)
    kind = gguf.GGMLQuantizationType.Q8_0
    tensor = source.tensors[name]._replace(data=gguf.quantize(exact, kind), tensor_type=kind)
    found = float32_values(replace(source, tensors={name: tensor}), name)
    assert found.shape == exact.shape
    assert 0 < np.abs(found - exact).max() < np.abs(exact).max() / 127


def test_a_model_is_converted_once_and_again_when_it_changes(tmp_path: Path, small: Path) -> None:
    reports: list[LoadProgress] = []
    made = gguf_of_folder(small, "owner/some-model", tmp_path / "c", following(reports))
    assert made.name == "some-model.gguf"
    assert any(progress.step.startswith("converting owner/some") for progress in reports)
    assert reports[-1].fraction == 1.0
    stat = made.stat()
    again = gguf_of_folder(small, "small", tmp_path / "c", following(reports))
    assert (again, again.stat().st_mtime_ns) == (made, stat.st_mtime_ns)
    edited(small, "tokenizer_config.json", model_max_length=99)
    assert to_gguf(small, tmp_path / "c") != made


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def garble(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"no weights at all, but many words of text")


def drop(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def lose_a_layer(folder: Path) -> None:
    edited(folder, "config.json", num_hidden_layers=3)


def add_a_layer(folder: Path) -> None:
    edited(folder, "config.json", num_hidden_layers=1)


def split_text_otherwise(folder: Path) -> None:
    edited(folder, "tokenizer.json", pre_tokenizer={"type": "WhitespaceSplit"})


def normalize_otherwise(folder: Path) -> None:
    edited(folder, "tokenizer.json", normalizer={"type": "NFC"})


def lose_a_token(folder: Path) -> None:
    values = json.loads((folder / "tokenizer.json").read_text())
    del values["model"]["vocab"]["[MASK]"]
    edited(folder, "tokenizer.json", model=values["model"])


def misname_the_eps(folder: Path) -> None:
    edited(folder, "config.json", layer_norm_eps="small")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut, "is no safetensors file, or a damaged one"),
        (garble, "is no safetensors file, or a damaged one"),
        (drop, "has no model.safetensors"),
        (lose_a_layer, "small have no encoder.layer.2.attention.self.query.weight"),
        (add_a_layer, "can't hold the weights bert.encoder.layer.1."),
        (split_text_otherwise, "splits text by rules of its own"),
        (normalize_otherwise, "the normalizer NFC"),
        (lose_a_token, "has no [MASK]"),
        (misname_the_eps, "is damaged, or of another kind"),
    ],
)
def test_a_folder_that_no_gguf_can_be_made_of_is_refused_in_a_line(
    tmp_path: Path, small: Path, damage: Callable[[Path], None], reason: str
) -> None:
    damage(small)
    assert reason in refusal(lambda: to_gguf(small, tmp_path / "c"))
    left = (tmp_path / "c" / "converted-embeddings").glob("*")
    assert [path for path in left if path.is_dir()] == []


def test_a_damaged_gguf_is_refused_in_a_line(tmp_path: Path, small: Path) -> None:
    whole = to_gguf(small, tmp_path).read_bytes()
    path = tmp_path / "broken.gguf"
    for content in (whole[: len(whole) // 2], whole[:-5000], whole[:40], b"no weights at all", b""):
        path.write_bytes(content)
        message = refusal(lambda: to_folder(path, tmp_path))
        assert message.startswith("broken.gguf is no GGUF file, or a damaged one")


def test_a_chat_model_is_refused_in_llama_cpps_own_words(tmp_path: Path) -> None:
    message = refusal(lambda: to_folder(MODEL, tmp_path))
    assert message == "jarvis-tiny.gguf is no embedding model: its metadata names no pooling"


def test_a_gguf_of_another_architecture_is_refused_with_what_to_give_instead(
    tmp_path: Path,
) -> None:
    path = tmp_path / "other.gguf"
    writer = gguf.GGUFWriter(path, arch="nomic-bert")
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("bert")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    message = refusal(lambda: to_folder(path, tmp_path))
    assert "other.gguf holds a nomic-bert model" in message
    assert "give JARVIS_EMBEDDING_MODEL the model's Hugging Face folder" in message


def test_weights_in_several_files_are_read_together(tmp_path: Path, small: Path) -> None:
    halves = tmp_path / "small-halves"
    shutil.copytree(small, halves)
    (halves / "model.safetensors").unlink()
    weights = sorted(load_file(small / "model.safetensors").items())
    for number, part in enumerate((weights[:20], weights[20:])):
        save_file(dict(part), halves / f"model-{number}-of-2.safetensors")
    assert len(stored_tensors(halves)) == len(weights)
    made = read_bert_gguf(to_gguf(halves, tmp_path))
    assert len(made.tensors) == len(weights)
