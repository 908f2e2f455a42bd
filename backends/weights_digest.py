"""Owns the digest by which the same weights are known again. Knows no engine.

It covers each file's size and content: the whole of a file of up to 64 MiB; of a larger one 64
blocks of a MiB, the first at its begin, the last at its end, the others evenly between. Of a
folder count the files at its top that a model is read from, with their names; of a GGUF in parts,
all parts. The name of a file or folder itself does not count, so that a renamed model is the same.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from core.errors import ModelLoadError

BLOCK_BYTES = 1 << 20
NUM_BLOCKS = 64
_SUFFIXES = frozenset(
    {
        *(".safetensors", ".bin", ".pt", ".pth", ".gguf", ".py"),
        *(".json", ".jinja", ".txt", ".model", ".tiktoken"),
    }
)
_PART = re.compile(r"-\d{5}(-of-\d{5}\.gguf)$")


def weights_digest(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """In hex. `check` is called between files, to give up by raising. Raises ModelLoadError."""
    digest = hashlib.sha256()
    try:
        for name, file in _files(path):
            check()
            size = file.stat().st_size
            digest.update(f"{name}\n{size}\n".encode("utf-8", "surrogateescape"))
            for block in _blocks(file, size):
                digest.update(block)
    except OSError as error:
        raise ModelLoadError(f"{path} can't be read: {error.strerror or error}") from error
    return digest.hexdigest()


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.suffix in _SUFFIXES and file.is_file():
                yield file.name, file
        return
    whole = _whole_name(path)
    others = path.parent.iterdir() if whole != path.name else [path]
    parts = sorted(file for file in others if _whole_name(file) == whole)
    yield from ((str(number), file) for number, file in enumerate(parts))


def _whole_name(path: Path) -> str:
    """The same for all parts of a model."""
    return _PART.sub(r"\1", path.name)


def _blocks(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as opened:
        if size <= NUM_BLOCKS * BLOCK_BYTES:
            while block := opened.read(BLOCK_BYTES):
                yield block
            return
        for number in range(NUM_BLOCKS):
            opened.seek(number * (size - BLOCK_BYTES) // (NUM_BLOCKS - 1))
            yield opened.read(BLOCK_BYTES)
