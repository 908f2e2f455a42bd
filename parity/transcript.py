"""Owns what one engine answered, as a value that can be kept in a file and compared elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

VERSION = 2


class TranscriptError(Exception):
    """A file that can't be read, or two that don't answer the same questions."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One response: its status and its JSON; of a stream, a list of its events."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Size:
    """How much was asked: prompts of each kind, and tokens of each answer."""

    num_prompts: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """`label` is short, for tables; `capabilities` is what the server told of itself. `parts` are
    the replies by part, in the order of parity/questions.py for `size`.
    """

    label: str
    size: Size
    capabilities: dict[str, Any]
    parts: dict[str, list[Reply]]
    version: int = VERSION

    @property
    def engine(self) -> str:
        return str(self.capabilities.get("engine", "unknown"))


def save(transcript: Transcript, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(transcript))


def load(path: Path) -> Transcript:
    """Raises TranscriptError."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Transcript)
    except OSError as error:
        raise TranscriptError(f"{path} can't be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise TranscriptError(f"{path} is no transcript: {error}") from error
    if found.version != VERSION:
        raise TranscriptError(f"{path} is of version {found.version}, not {VERSION}: make it anew")
    return found
