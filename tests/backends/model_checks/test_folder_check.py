"""What a Hugging Face folder may hold before an engine sees it: threats.md, section A.2."""

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from backends.model_checks.checking import check_model
from core.errors import ModelLoadError

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 3}
HEAD = {"embedding": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}}
CODE = {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil"}}


def safetensors(head: object, num_bytes: int = 24, length: int | None = None) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + bytes(num_bytes)


def folder_of(path: Path, **files: object) -> Path:
    """A good folder with other files; dots of names are written as two underscores. None leaves
    a file out; what is not bytes is written as JSON.
    """
    good: dict[str, object] = {
        "config.json": CONFIG,
        "tokenizer.json": {"model": {"type": "BPE"}},
        "tokenizer_config.json": {"chat_template": "{{ messages }}"},
        "model.safetensors": safetensors(HEAD),
        "modules.json": [],
    }
    folder = path / "model-folder"
    folder.mkdir()
    for name, content in (good | {n.replace("__", "."): c for n, c in files.items()}).items():
        if content is not None:
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            (folder / name).write_bytes(raw)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(ModelLoadError) as caught:
        check_model(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert str(folder.parent) not in message
    return message


def test_a_good_folder_is_accepted(tmp_path: Path) -> None:
    check_model(folder_of(tmp_path))


def tensor(**fields: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]} | fields}


BAD_WEIGHTS = {
    "empty": (b"", "the head's length"),
    "head longer than the file": (safetensors(HEAD, length=2**40), "its head takes"),
    "head longer than allowed": (safetensors(HEAD, length=2**63), "its head takes"),
    "head that is no JSON": (safetensors(b"{" * 50), "no JSON object"),
    "head that nests": (safetensors(b'{"a":' + b"[" * 100_000), "JSON"),
    "head that is a list": (safetensors([]), "no JSON object"),
    "no tensors": (safetensors({"__metadata__": {"a": "b"}}), "0 tensors"),
    "unknown type": (safetensors(tensor(dtype="PICKLE")), "unknown type 'PICKLE'"),
    "shape without bytes": (safetensors(tensor(shape=[3, 200])), "has 24 bytes"),
    "shape that overflows": (safetensors(tensor(shape=[2**62, 2**62, 2**62])), "bytes"),
    "negative shape": (safetensors(tensor(shape=[-3, -2])), "has 24 bytes"),
    "offsets in the wrong order": (safetensors(tensor(data_offsets=[24, 0])), "-24 bytes"),
    "negative offset": (safetensors(tensor(data_offsets=[-24, 0])), "begins at -24"),
    "offsets that are texts": (safetensors(tensor(data_offsets="0")), "announced wrongly"),
    "no offsets": (safetensors({"a": {"dtype": "F32", "shape": []}}), "announced wrongly"),
    "gap": (safetensors(tensor(data_offsets=[8, 32]), 32), "begins at 8"),
    "two in one place": (safetensors(tensor() | {"b": HEAD["embedding"]}), "begins at 0"),
    "cut off": (safetensors(HEAD, 23), "truncated"),
    "more than announced": (safetensors(HEAD, 25), "truncated or damaged"),
}


@pytest.mark.parametrize(("content", "words"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_bad_weights_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    message = refusal(folder_of(tmp_path, model__safetensors=content))
    assert words in message
    assert "model.safetensors" in message


BAD_FOLDERS: Mapping[str, tuple[Mapping[str, object], str]] = {
    "no config": ({"config__json": None}, "no config.json"),
    "no tokenizer": ({"tokenizer__json": None}, "no tokenizer.json"),
    "no weights": ({"model__safetensors": None}, "no weights"),
    "pickled weights": (
        {"model__safetensors": None, "pytorch_model__bin": b"\x80\x04cos\nsystem\n"},
        "pickles (pytorch_model.bin)",
    ),
    "code in the config": ({"config__json": CONFIG | CODE}, "auto_map"),
    "code deeper in the config": ({"config__json": CONFIG | {"vision_config": CODE}}, "auto_map"),
    "code in the tokenizer": ({"tokenizer_config__json": CODE}, "tokenizer_config.json"),
    "code in the processor": ({"preprocessor_config__json": {"x": [CODE]}}, "auto_map"),
    "config that is no JSON": ({"config__json": b"{"}, "no JSON object"),
    "config that is a list": ({"config__json": b"[]"}, "no JSON object"),
    "config that is no UTF-8": ({"config__json": b'{"a":"\xff"}'}, "no JSON object"),
    "config that nests": ({"config__json": b'{"a":' * 200 + b"1" + b"}" * 200}, "64 levels"),
    "config that nests deeply": ({"config__json": b"[" * 10**6}, "config.json"),
    "config of no model": ({"config__json": {}}, "no model_type"),
    "architectures of numbers": (
        {"config__json": CONFIG | {"architectures": [1]}},
        "wrong architectures",
    ),
    "tokenizer that is no JSON": ({"tokenizer__json": b"\x00"}, "no JSON object"),
    "tokenizer that nests": ({"tokenizer__json": b'{"a":' + b"[" * 10**6}, "tokenizer.json"),
    "index that names another place": (
        {"model__safetensors__index__json": {"weight_map": {"a": "../../etc/passwd"}}},
        "names '../../etc/passwd'",
    ),
    "index without a map": ({"model__safetensors__index__json": {}}, "no weight_map"),
}


@pytest.mark.parametrize(("files", "words"), BAD_FOLDERS.values(), ids=BAD_FOLDERS)
def test_a_bad_folder_is_refused(tmp_path: Path, files: Mapping[str, object], words: str) -> None:
    assert words in refusal(folder_of(tmp_path, **files))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "more.safetensors"])
def test_devices_and_pipes_are_no_files(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("/dev/random")
    assert "no regular file" in refusal(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert "no regular file" in refusal(folder)


def test_links_to_files_are_followed_and_those_to_nothing_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    blob = tmp_path / "blob"
    (folder / "config.json").rename(blob)
    (folder / "config.json").symlink_to(blob)
    check_model(folder)
    blob.unlink()
    assert "can't be read" in refusal(folder)


def test_files_of_any_size_cost_little(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    os.truncate(folder / "tokenizer.json", 2**40)
    assert "larger than" in refusal(folder)
