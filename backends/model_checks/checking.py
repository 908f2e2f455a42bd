"""Owns looking at a model before any engine does, whichever engine it is for.

A model comes from anywhere, and native parsers trust what it says of itself.
"""

from pathlib import Path

from backends.model_checks.folder_check import check_folder
from backends.model_checks.gguf_check import check_gguf


def check_model(path: Path) -> None:
    """A GGUF file or a Hugging Face folder. Blocks. Raises ModelLoadError with one line."""
    if path.is_dir():
        check_folder(path)
    else:
        check_gguf(path)
