"""A GGUF recommends the same sampling to llama.cpp, to us, and through its converted folder."""

import ctypes
import json
import logging
from pathlib import Path

import pytest

from backends.gguf_sampling import gguf_recommendation
from backends.vllm_engine.conversion import write_tokenizer
from backends.vllm_engine.folder import read_folder
from backends.vllm_engine.gguf_file import read_gguf
from core.sampling_defaults import SamplingValues, recommended_values
from tests.backends.vllm_engine.gguf_making import byte_level, write_vocabulary


def read_by_llama_cpp(path: Path) -> SamplingValues:
    import llama_cpp

    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    llama_cpp.llama_log_set(llama_cpp.llama_log_callback(), None)

    def text_of(key: str) -> str | None:
        buffer = ctypes.create_string_buffer(64)
        length = llama_cpp.llama_model_meta_val_str(model, key.encode(), buffer, 64)
        return buffer.value.decode() if length >= 0 else None

    found = gguf_recommendation(text_of)
    llama_cpp.llama_model_free(model)
    return found


def read_by_folder(path: Path, folder: Path) -> SamplingValues:
    folder.mkdir()
    write_tokenizer(read_gguf(path), folder)
    (folder / "config.json").write_text("{}")
    return recommended_values(read_folder(folder).generation_config, "generation_config.json")


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ({}, {}),
        (
            {"temp": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0.05, "penalty_repeat": 1.05},
            {
                "temperature": 0.6,
                "top_k": 20,
                "top_p": 0.95,
                "min_p": 0.05,
                "repetition_penalty": 1.05,
            },
        ),
        ({"top_k": 0, "temp": 0.0, "mirostat": 2}, {"top_k": None, "temperature": 0.0}),
        ({"temp": 0.123456789}, {"temperature": 0.123457}),
        ({"temp": "0.7", "top_k": 40.0}, {"temperature": 0.7, "top_k": 40}),
    ],
)
def test_all_readers_find_the_same(
    tmp_path: Path, written: dict[str, float | str], wanted: dict[str, float | None]
) -> None:
    path = write_vocabulary(tmp_path / "m.gguf", byte_level(), written)
    assert read_by_llama_cpp(path) == wanted
    assert read_gguf(path).recommended == wanted
    assert read_by_folder(path, tmp_path / "folder") == wanted


def test_what_can_not_be_used_is_told_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written: dict[str, float | str] = {"temp": -1.0, "top_p": "most", "min_p": 0.1}
    path = write_vocabulary(tmp_path / "m.gguf", byte_level(), written)
    with caplog.at_level(logging.WARNING):
        assert read_gguf(path).recommended == {"min_p": 0.1}
        assert read_by_llama_cpp(path) == {"min_p": 0.1}
    assert caplog.text.count("ignored=temperature value=-1 in=the GGUF's metadata") == 2
    assert caplog.text.count("ignored=top_p value='most'") == 2


def test_a_folder_that_recommends_nothing_says_nothing(tmp_path: Path) -> None:
    path = write_vocabulary(tmp_path / "m.gguf", byte_level())
    assert read_by_folder(path, tmp_path / "folder") == {}
    config = json.loads((tmp_path / "folder" / "generation_config.json").read_text())
    assert set(config) == {"bos_token_id", "eos_token_id"}
