"""Owns where keys come from: the setting's own list, or the file that it names."""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from api.access.key_file import read_file
from api.access.key_list import read_list
from api.access.key_ring import KeyRing, ring_of
from core.errors import ConfigurationError

_VARIABLE = "JARVIS_API_KEYS"
_FILE_ENDING = ".toml"


@dataclass(frozen=True, slots=True)
class ReadKeys:
    """The keys, and all files that they came from."""

    ring: KeyRing
    files: tuple[Path, ...] = ()


def file_of(source: SecretStr) -> Path | None:
    """The file that is named, if one is."""
    text = source.get_secret_value().strip()
    return (
        Path(os.path.expanduser(text)) if text.endswith(_FILE_ENDING) and "," not in text else None
    )


def read_keys(source: SecretStr) -> ReadKeys:
    """Raises ConfigurationError, a line without any key. There is one key at least."""
    path = file_of(source)
    try:
        if path is None:
            return ReadKeys(ring_of(read_list(source.get_secret_value())))
        file = read_file(path)
        return ReadKeys(ring_of(file.given), (path, *file.further))
    except ValueError as error:
        raise ConfigurationError(f"{path or _VARIABLE}: {error}") from None
