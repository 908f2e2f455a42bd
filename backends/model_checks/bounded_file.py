"""Owns reading a file that may be anything: never beyond its end, never more than is asked for.

Knows no format. Nothing is mapped: a file that is cut while it is read is an error here, and would
be a signal that ends the process there.
"""

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from core.errors import ModelLoadError

_WINDOW_BYTES = 1 << 16
_MAX_SHOWN = 60
_LENGTH = struct.Struct("<Q")


def unusable(name: str, reason: str) -> ModelLoadError:
    """One line that names the file without the folders above it."""
    return ModelLoadError(f"{name} can't be used: {reason}")


def shown(value: object) -> str:
    """A value of a file for a message: one line, never long."""
    text = repr(value[: _MAX_SHOWN + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


class BoundedFile:
    """A place in an open file. Every method raises ModelLoadError where the file ends too soon."""

    def __init__(self, file: BinaryIO, name: str, size: int) -> None:
        self._file = file
        self.name = name
        self.size = size
        self.at = 0

    @property
    def num_left(self) -> int:
        return self.size - self.at

    def take(self, count: int, what: str) -> bytes:
        """The next bytes; `what` they are is for the message."""
        self._need(count, what)
        self.at += count
        found = self._file.read(count)
        if len(found) != count:
            raise self.fault("it became shorter while it was read")
        return found

    def skip(self, count: int, what: str) -> None:
        self._need(count, what)
        self.at += count
        self._file.seek(self.at)

    def skip_texts(self, count: int, what: str) -> None:
        """Texts that each begin with their length, 8 bytes. They come by the hundred thousand."""
        window, start, at = b"", self.at, self.at
        for _ in range(count):
            if at + _LENGTH.size > start + len(window):
                start = at
                self._file.seek(start)
                window = self._file.read(_WINDOW_BYTES)
                if len(window) < _LENGTH.size:
                    raise self.fault(f"it ends within {what}")
            at += _LENGTH.size + _LENGTH.unpack_from(window, at - start)[0]
            if at > self.size:
                raise self.fault(f"{what} holds a text that is longer than the file")
        self.at = at
        self._file.seek(at)

    def fault(self, reason: str) -> ModelLoadError:
        return unusable(self.name, reason)

    def _need(self, count: int, what: str) -> None:
        if count > self.num_left:
            raise self.fault(
                f"{what} at byte {self.at} takes {count} bytes; the file has {self.num_left} more"
            )


@contextmanager
def open_bounded(path: Path) -> Iterator[BoundedFile]:
    """Raises ModelLoadError for what can't be read, or is no file: a device, a pipe, a folder."""
    try:
        # A pipe would hold up the opening until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb", buffering=_WINDOW_BYTES) as file:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise unusable(path.name, "it is no regular file")
            yield BoundedFile(file, path.name, state.st_size)
    except OSError as error:
        raise unusable(path.name, f"it can't be read ({error.strerror})") from error
