"""The cache of converted models: whole or not there, cancelled and locked. Converts no weights."""

import threading
from pathlib import Path

import pytest

from backends.conversion_listener import Listener
from backends.vllm_engine.conversion import Form, convert
from backends.vllm_engine.gguf_file import GgufModel, read_gguf
from core.errors import EngineUnavailable, ModelLoadError
from core.lifecycle import LoadProgress
from tests.backends.vllm_engine.gguf_making import byte_level, write_vocabulary

FORM = Form("float32")


def source_in(folder: Path, num_weights: int = 1) -> GgufModel:
    path = folder / "m.gguf"
    path.write_bytes(b"weights")
    return GgufModel(path, "llama", True, num_weights, (), None, False, None, byte_level())


def listener(reports: list[LoadProgress]) -> Listener:
    return Listener(reports.append, threading.Event())


def only_entry(cache: Path, suffix: str) -> Path:
    (found,) = cache.glob(f"*{suffix}")
    return found


def test_a_disk_that_is_too_small_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="are free; JARVIS_CACHE_DIR"):
        convert(source_in(tmp_path, 1 << 60), tmp_path / "c", FORM, listener([]))
    assert list((tmp_path / "c").glob("*.partial")) == []


def test_a_cancelled_conversion_leaves_no_folder(tmp_path: Path) -> None:
    cancelled = threading.Event()

    def cancel_at_conversion(progress: LoadProgress) -> None:
        if progress.step.startswith("converting"):
            cancelled.set()

    with pytest.raises(EngineUnavailable):
        convert(
            source_in(tmp_path),
            tmp_path / "c",
            FORM,
            Listener(cancel_at_conversion, cancelled),
        )
    assert [entry for entry in (tmp_path / "c").iterdir() if entry.is_dir()] == []


def test_a_folder_that_is_there_is_used(tmp_path: Path) -> None:
    cache = tmp_path / "c"
    source = source_in(tmp_path, 1 << 60)
    with pytest.raises(ModelLoadError):
        convert(source, cache, FORM, listener([]))
    lock = only_entry(cache, ".lock")
    lock.with_suffix("").mkdir()
    reports: list[LoadProgress] = []
    assert convert(source, cache, FORM, listener(reports)) == lock.with_suffix("")
    assert reports == []


def test_other_content_under_the_same_name_is_another_folder(tmp_path: Path) -> None:
    cache = tmp_path / "c"
    source = source_in(tmp_path, 1 << 60)
    for content in (b"weights", b"more weights"):
        source.path.write_bytes(content)
        with pytest.raises(ModelLoadError):
            convert(source, cache, FORM, listener([]))
    assert len(list(cache.glob("*.lock"))) == 2


def test_reading_shows_its_progress(tmp_path: Path) -> None:
    reports: list[LoadProgress] = []
    with pytest.raises(ModelLoadError):
        convert(source_in(tmp_path, 1 << 60), tmp_path / "c", FORM, listener(reports))
    assert reports[-1] == LoadProgress("reading m.gguf (0 MiB)", 1.0)


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"not a model, but long enough to have a header" * 4)
    with pytest.raises(ModelLoadError, match=r"m\.gguf is no GGUF file"):
        read_gguf(tmp_path / "m.gguf")


def test_metadata_is_read_as_values(tmp_path: Path) -> None:
    written = byte_level()
    source = read_gguf(write_vocabulary(tmp_path / "m.gguf", written))
    assert source.architecture == "llama"
    assert source.chat_template is None
    assert source.vocabulary == written
