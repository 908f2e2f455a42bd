"""Owns reading JSON files that may be anything: bounded in size and depth. Knows no model."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from backends.model_checks.bounded_file import open_bounded, unusable

MAX_DEPTH = 64
Fields = TypeVar("Fields", dict[str, Any], dict[str, msgspec.Raw])


def read_json_object(path: Path, max_bytes: int) -> dict[str, Any]:
    """Raises ModelLoadError where it is too large, too deep, or no JSON object."""
    value = _decode(path, max_bytes, dict[str, Any])
    _check_depth(path.name, value)
    return value


def read_json_fields(path: Path, max_bytes: int) -> dict[str, msgspec.Raw]:
    """Of a large file: only that it is JSON, and what its fields are."""
    return _decode(path, max_bytes, dict[str, msgspec.Raw])


def decode_fields(name: str, text: bytes) -> dict[str, msgspec.Raw]:
    """A JSON object in a file of another kind. Raises ModelLoadError."""
    return _decoded(name, text, dict[str, msgspec.Raw])


def _decode(path: Path, max_bytes: int, kind: type[Fields]) -> Fields:
    with open_bounded(path) as file:
        if file.size > max_bytes:
            raise file.fault(f"it is larger than {max_bytes} bytes")
        text = file.take(file.size, "its text")
    return _decoded(path.name, text, kind)


def _decoded(name: str, text: bytes, kind: type[Fields]) -> Fields:
    try:
        found: Fields = msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise unusable(name, f"it is no JSON object: {str(error)[:200]}") from None
    except RecursionError:
        raise unusable(name, "its JSON nests too deep") from None
    return found


def _check_depth(name: str, value: object) -> None:
    layer: list[object] = [value]
    for _ in range(MAX_DEPTH):
        layer = [inner for each in layer for inner in _inner(each)]
        if not layer:
            return
    raise unusable(name, f"its JSON nests more than {MAX_DEPTH} levels deep")


def _inner(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
