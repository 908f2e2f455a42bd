"""Owns which conversion makes a given embedding model readable for an engine. Knows no engine."""

from collections.abc import Callable
from pathlib import Path

from backends.conversion_listener import Listener
from backends.embedding_conversion import folder_export, gguf_export
from backends.embedding_conversion.bert_folder import read_bert_folder
from backends.embedding_conversion.bert_gguf import read_bert_gguf
from backends.embedding_conversion.kept import Conversion, kept

_DIR = "converted-embeddings"


def gguf_of_folder(folder: Path, name: str, cache_dir: Path, listener: Listener) -> Path:
    """A float32 GGUF of a Hugging Face folder, made once. Blocks. `name` is a hub id, whose folder
    has a meaningless name, or the folder's.

    Raises ModelLoadError for a folder that is damaged or that a GGUF can't hold; EngineUnavailable
    once the listener is cancelled.
    """
    source = read_bert_folder(folder)

    def write(target: Path, report: Callable[[float], None]) -> None:
        gguf_export.write_gguf(source, target, report)

    patterns = ("*.json", "*/config.json", "model*.safetensors")
    conversion = Conversion(
        source=folder,
        title=name,
        files=[file for pattern in patterns for file in folder.glob(pattern)],
        name=f"{name.rpartition('/')[-1]}.gguf",
        form="GGUF",
        num_bytes=gguf_export.num_bytes(source),
        write=write,
    )
    return kept(conversion, cache_dir / _DIR, listener)


def folder_of_gguf(file: Path, cache_dir: Path, listener: Listener) -> Path:
    """A Hugging Face folder of a GGUF, in float32, made once. Blocks, and raises as above."""
    source = read_bert_gguf(file)

    def write(target: Path, report: Callable[[float], None]) -> None:
        target.mkdir()
        folder_export.write_folder(source, target, report)

    conversion = Conversion(
        source=file,
        title=file.name,
        files=[file],
        name=file.stem,
        form="safetensors",
        num_bytes=folder_export.num_bytes(source),
        write=write,
    )
    return kept(conversion, cache_dir / _DIR, listener)
