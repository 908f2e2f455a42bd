"""The cache of converted embedding models: whole or not there, once, cancelled and locked."""

import fcntl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from backends.embedding_conversion.kept import Conversion, kept
from core.errors import EngineUnavailable, ModelLoadError
from core.lifecycle import LoadProgress
from tests.backends.embedding_conversion.listening import cancelled_at, following, unheard


def copying(source: Path, written: list[Path]) -> Conversion:
    def write(target: Path, report: Callable[[float], None]) -> None:
        report(0.5)
        target.write_bytes(source.read_bytes())
        written.append(target)

    return Conversion(source, source.name, [source], "copy.bin", "copies", 7, write)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(b"weights")
    return path


def left_in(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.suffix != ".lock"]


def test_what_was_written_once_is_used_again_under_any_name(source: Path, tmp_path: Path) -> None:
    cache, written = tmp_path / "c", list[Path]()
    reports: list[LoadProgress] = []
    made = kept(copying(source, written), cache, following(reports))
    assert (made.name, made.read_bytes()) == ("copy.bin", b"weights")
    step = "converting model.bin to copies (0 MiB, float32)"
    assert reports[-2:] == [LoadProgress(step), LoadProgress(step, 0.5)]
    renamed = source.rename(tmp_path / "other.bin")
    assert kept(copying(renamed, written), cache, following(reports)) == made
    assert len(written) == 1
    assert reports[-1] == LoadProgress("reading other.bin")


def test_other_content_or_another_form_is_another_conversion(source: Path, tmp_path: Path) -> None:
    written: list[Path] = []
    conversion = copying(source, written)
    kept(conversion, tmp_path / "c", unheard())
    kept(replace(conversion, form="other"), tmp_path / "c", unheard())
    source.write_bytes(b"Weights")
    made = kept(conversion, tmp_path / "c", unheard())
    assert made.read_bytes() == b"Weights"
    assert len(written) == 3


def test_two_at_the_same_time_write_once(source: Path, tmp_path: Path) -> None:
    written: list[Path] = []
    with ThreadPoolExecutor(4) as threads:
        calls = [
            threads.submit(kept, copying(source, written), tmp_path / "c", unheard())
            for _ in range(4)
        ]
    assert len({call.result() for call in calls}) == 1
    assert len(written) == 1


def test_it_waits_for_another_process_and_takes_what_that_has_written(
    source: Path, tmp_path: Path
) -> None:
    cache, written = tmp_path / "c", list[Path]()
    made = kept(copying(source, written), cache, unheard())
    elsewhere = made.parent.rename(tmp_path / "elsewhere")
    (lock,) = cache.glob("*.lock")
    is_waiting = threading.Event()
    steps: list[str] = []

    def report(progress: LoadProgress) -> None:
        steps.append(progress.step)
        if progress.step.startswith("waiting for another process"):
            is_waiting.set()

    listener = replace(unheard(), report=report)
    with lock.open("w") as held, ThreadPoolExecutor(1) as threads:
        fcntl.flock(held, fcntl.LOCK_EX)
        call = threads.submit(kept, copying(source, written), cache, listener)
        assert is_waiting.wait(4)
        elsewhere.rename(made.parent)
        fcntl.flock(held, fcntl.LOCK_UN)
        assert call.result() == made
    assert len(written) == 1


def test_a_cancelled_or_failed_conversion_leaves_nothing(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "c"
    with pytest.raises(EngineUnavailable):
        kept(copying(source, []), cache, cancelled_at("converting"))
    assert left_in(cache) == []

    def fail(target: Path, _: Callable[[float], None]) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ModelLoadError, match="No space left on device; JARVIS_CACHE_DIR"):
        kept(replace(copying(source, []), write=fail), cache, unheard())
    assert left_in(cache) == []
    assert kept(copying(source, []), cache, unheard()).read_bytes() == b"weights"


def test_what_a_killed_run_left_is_written_anew(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "c"
    made = kept(copying(source, []), cache, unheard())
    made.parent.rename(made.parent.with_name(f"{made.parent.name}.partial"))
    assert kept(copying(source, []), cache, unheard()) == made
    assert left_in(cache) == [made.parent.name]


def test_a_disk_that_is_too_small_is_told_before_any_work(source: Path, tmp_path: Path) -> None:
    huge = replace(copying(source, []), num_bytes=1 << 60)
    with pytest.raises(ModelLoadError, match=r"converting model\.bin needs .* are free; JARVIS"):
        kept(huge, tmp_path / "c", unheard())
    assert left_in(tmp_path / "c") == []


def test_a_cache_that_is_no_folder_is_told_in_a_line(source: Path) -> None:
    with pytest.raises(ModelLoadError, match="JARVIS_CACHE_DIR names another place") as caught:
        kept(copying(source, []), source, unheard())
    assert "\n" not in str(caught.value)
