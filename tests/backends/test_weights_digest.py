"""The digest of a model's files: the same for the same weights, another for others."""

import os
from pathlib import Path

import pytest

from backends.weights_digest import BLOCK_BYTES, NUM_BLOCKS, weights_digest
from core.errors import EngineUnavailable, ModelLoadError

WHOLE_BYTES = NUM_BLOCKS * BLOCK_BYTES


def file_of(path: Path, content: bytes = b"weights") -> Path:
    path.write_bytes(content)
    return path


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def changed_at(path: Path, place: int) -> str:
    """The digest with another byte at `place`, which is put back."""
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\x01")
        file.flush()
        found = weights_digest(path)
        file.seek(place)
        file.write(b"\x00")
    return found


def test_a_renamed_file_is_the_same_and_another_content_is_not(tmp_path: Path) -> None:
    digest = weights_digest(file_of(tmp_path / "a.gguf"))
    assert len(digest) == 64
    assert weights_digest(file_of(tmp_path / "b.gguf")) == digest
    assert weights_digest(file_of(tmp_path / "c.gguf", b"Weights")) != digest


@pytest.mark.parametrize("place", [0, WHOLE_BYTES // 2 + 1, WHOLE_BYTES - 1])
def test_every_byte_of_a_file_of_64_mib_counts(tmp_path: Path, place: int) -> None:
    path = sparse(tmp_path / "m.gguf", WHOLE_BYTES)
    assert changed_at(path, place) != weights_digest(path)


def test_of_a_larger_file_the_ends_and_blocks_between_count(tmp_path: Path) -> None:
    size = 3 * WHOLE_BYTES + 12345
    path = sparse(tmp_path / "m.gguf", size)
    digest = weights_digest(path)
    step = (size - BLOCK_BYTES) // (NUM_BLOCKS - 1)
    inside = (0, BLOCK_BYTES - 1, step + 1, 40 * step + BLOCK_BYTES // 2, size - BLOCK_BYTES)
    for place in (*inside, size - 1):
        assert changed_at(path, place) != digest
    assert changed_at(path, BLOCK_BYTES + 5) == digest
    assert weights_digest(sparse(tmp_path / "n.gguf", size + 1)) != digest


def test_of_a_folder_count_the_files_that_a_model_is_read_from(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "original").mkdir(parents=True)
    file_of(folder / "config.json", b"{}")
    weights = file_of(folder / "model.safetensors")
    digest = weights_digest(folder)
    for ignored in ("README.md", ".gitattributes", "original/model.safetensors"):
        file_of(folder / ignored)
    assert weights_digest(folder) == digest
    folder.rename(tmp_path / "renamed")
    folder = tmp_path / "renamed"
    assert weights_digest(folder) == digest
    file_of(folder / "generation_config.json", b"{}")
    assert weights_digest(folder) != digest
    (folder / "generation_config.json").rename(folder / "tokenizer.json")
    with_tokenizer = weights_digest(folder)
    (folder / "tokenizer.json").unlink()
    assert weights_digest(folder) == digest != with_tokenizer
    (folder / weights.name).rename(folder / "other.safetensors")
    assert weights_digest(folder) != digest


def test_links_are_followed(tmp_path: Path) -> None:
    path = file_of(tmp_path / "blob")
    os.symlink(path, tmp_path / "m.gguf")
    assert weights_digest(tmp_path / "m.gguf") == weights_digest(path)


def test_all_parts_of_a_split_gguf_count(tmp_path: Path) -> None:
    first = file_of(tmp_path / "m-00001-of-00002.gguf")
    second = file_of(tmp_path / "m-00002-of-00002.gguf")
    digest = weights_digest(first)
    file_of(tmp_path / "m-00003-of-00003.gguf")
    file_of(tmp_path / "n-00002-of-00002.gguf")
    assert weights_digest(first) == digest
    file_of(second, b"others")
    assert weights_digest(first) != digest


def test_a_file_that_is_not_there_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="can't be read: No such file"):
        weights_digest(tmp_path / "m.gguf")


def test_it_can_be_given_up(tmp_path: Path) -> None:
    def cancelled() -> None:
        raise EngineUnavailable("closed")

    with pytest.raises(EngineUnavailable):
        weights_digest(file_of(tmp_path / "m.gguf"), cancelled)
