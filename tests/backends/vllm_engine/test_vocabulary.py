"""What a Hugging Face folder tells of its ids."""

import json
from pathlib import Path
from typing import Any

import pytest

from backends.vllm_engine.conversion import write_tokenizer
from backends.vllm_engine.folder import ModelFolder, read_folder
from backends.vllm_engine.gguf_file import GgufModel, GgufVocabulary
from backends.vllm_engine.vocabulary import read_vocabulary
from core.errors import ModelLoadError
from tests.backends.vllm_engine.gguf_making import byte_level, sentencepiece


def folder_of(path: Path, vocabulary: GgufVocabulary, **config: Any) -> ModelFolder:
    template = "{{ messages }}"
    source = GgufModel(path / "m.gguf", "llama", True, 1, (), None, False, template, vocabulary)
    write_tokenizer(source, path)
    (path / "config.json").write_text(json.dumps({"vocab_size": 300, **config}))
    return read_folder(path)


def test_byte_level_pieces_are_the_bytes_they_stand_for(tmp_path: Path) -> None:
    source = byte_level()
    read = read_vocabulary(folder_of(tmp_path, source))
    pieces = read.vocabulary.pieces
    assert read.is_byte_level
    assert sorted(pieces[:256]) == [bytes((byte,)) for byte in range(256)]
    assert pieces[source.tokens.index("\u0120w")] == b" w"
    assert pieces[source.tokens.index("<think>")] == b"<think>"


def test_ids_without_a_token_stand_for_nothing(tmp_path: Path) -> None:
    source = byte_level()
    vocabulary = read_vocabulary(folder_of(tmp_path, source)).vocabulary
    assert len(vocabulary) == 300
    assert vocabulary.pieces[source.tokens.index("[unused]")] == b""
    assert vocabulary.pieces[299] == b""


def test_special_added_tokens_are_control_and_others_are_not(tmp_path: Path) -> None:
    source = byte_level()
    vocabulary = read_vocabulary(folder_of(tmp_path, source)).vocabulary
    assert vocabulary.control_ids == {source.bos_id, source.eos_id}
    assert vocabulary.bos_id == source.bos_id
    assert vocabulary.eos_id == source.eos_id
    assert vocabulary.metadata_end_ids == set(source.end_ids)
    assert vocabulary.add_bos


def test_sentencepiece_pieces_have_spaces_and_bytes(tmp_path: Path) -> None:
    source = sentencepiece()
    read = read_vocabulary(folder_of(tmp_path, source))
    assert not read.is_byte_level
    assert read.vocabulary.pieces[source.tokens.index("\u2581hello")] == b" hello"
    assert read.vocabulary.pieces[source.tokens.index("<0xE9>")] == b"\xe9"


def test_end_ids_come_from_the_model_and_its_generation_config(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, byte_level(), eos_token_id=7)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [3, 5, 999]}')
    (tmp_path / "tokenizer_config.json").write_text("{}")
    folder = read_folder(tmp_path)
    vocabulary = read_vocabulary(folder).vocabulary
    assert vocabulary.metadata_end_ids == {3, 5, 7}
    assert not vocabulary.add_bos


def test_a_nested_configuration_describes_the_language_model(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, byte_level(), text_config={"vocab_size": 320, "dtype": "bfloat16"})
    assert len(read_vocabulary(folder).vocabulary) == 320
    assert folder.dtype == "bfloat16"


def test_the_template_may_be_one_of_a_named_list(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, byte_level())
    assert folder.chat_template == "{{ messages }}"
    (tmp_path / "chat_template.jinja").unlink()
    named = [{"name": "rag", "template": "a"}, {"name": "default", "template": "b"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert read_folder(tmp_path).chat_template == "b"


def test_a_folder_without_its_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        read_folder(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ModelLoadError, match="no JSON object"):
        read_folder(tmp_path)


def test_a_tokenizer_of_an_unknown_shape_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, byte_level())
    (tmp_path / "tokenizer.json").write_text('{"model": {}}')
    with pytest.raises(ModelLoadError, match="not understood"):
        read_vocabulary(read_folder(folder.path))
