"""Owns the cache of converted embedding models, keyed by the content they were made of.

What is kept is whole or not there: it is written beside its place and renamed. Knows no format.
"""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.conversion_listener import Listener, only_one
from core.errors import ModelLoadError

CONVERTER_VERSION = 1
_SPARE_BYTES = 64 << 20
_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is made of a model: a file or a folder called `name`, of about `num_bytes`. `title` is
    what people know the model by.

    `files` are all that `write` reads, below `source` or itself. `write` gets the place to write
    to, and calls what it is given with the share that is done.
    """

    source: Path
    title: str
    files: Sequence[Path]
    name: str
    form: str
    num_bytes: int
    write: Callable[[Path, Callable[[float], None]], None]


def kept(conversion: Conversion, cache: Path, listener: Listener) -> Path:
    """What was written, now or once before. Blocks. Raises ModelLoadError, EngineUnavailable."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        key = f"{_content_key(conversion, listener)}-{conversion.form}-v{CONVERTER_VERSION}"
        return _made(cache / key) or _made_once(conversion, cache / key, listener)
    except OSError as error:
        raise ModelLoadError(
            f"{conversion.title} can't be converted under {cache}: "
            f"{error.strerror or error}; JARVIS_CACHE_DIR names another place"
        ) from error


def _made_once(conversion: Conversion, folder: Path, listener: Listener) -> Path:
    with only_one(folder.with_name(f"{folder.name}.lock"), listener):
        if _made(folder) is None:
            _write(conversion, folder, listener)
    return _made(folder) or folder / conversion.name


def _made(folder: Path) -> Path | None:
    """By the name that it was first given under."""
    return next(folder.iterdir(), None) if folder.is_dir() else None


def _write(conversion: Conversion, folder: Path, listener: Listener) -> None:
    size = f"{conversion.num_bytes / (1 << 20):.0f} MiB"
    free = shutil.disk_usage(folder.parent).free
    if free < conversion.num_bytes + _SPARE_BYTES:
        raise ModelLoadError(
            f"converting {conversion.title} needs {size} in {folder.parent}, where"
            f" {free / (1 << 20):.0f} MiB are free; JARVIS_CACHE_DIR names another place"
        )
    step = f"converting {conversion.title} to {conversion.form} ({size}, float32)"
    # Under the lock, so what lies there is from a run that was killed.
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        listener.tell(step)
        conversion.write(partial / conversion.name, lambda share: listener.tell(step, share))
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _content_key(conversion: Conversion, listener: Listener) -> str:
    """Of the names and the whole content of all files."""
    digest = hashlib.sha256()
    listener.tell(f"reading {conversion.title}")
    for file in sorted(conversion.files):
        inside = file.relative_to(conversion.source) if file != conversion.source else Path()
        digest.update(f"{inside}\n{file.stat().st_size}\n".encode("utf-8", "surrogateescape"))
        with file.open("rb") as opened:
            while block := opened.read(_BLOCK_BYTES):
                digest.update(block)
                listener.check()
    return digest.hexdigest()
