"""Notices when files of keys have changed. Reads none of them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

# Also without a notice: network file systems give none, a folder may be exchanged, and what changes
# just before the watch stands goes unnoticed.
_LOOK_EVERY_MS = 1000
# Each pause takes the interpreter from the engines for a moment.
_PAUSE_MS = 200
_logger = logging.getLogger(__name__)


class KeyFileWatch:
    """`files` says which ones, each time; `changed` is called on the event loop after one became
    another, by whatever way: editors put a new file in its place, others exchange a link on the way
    to it. So folders are watched.
    """

    def __init__(self, files: Callable[[], Sequence[Path]], changed: Callable[[], None]) -> None:
        self._files = files
        self._changed = changed
        self._seen: list[object] = []
        self._look_again = asyncio.Event()

    def mark_as_read(self) -> None:
        """The files are as they were read just now."""
        self._seen = self._states()

    def look_elsewhere(self) -> None:
        """There may be other files now."""
        self._look_again.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._look_again.clear()
            folders = self._folders()
            if not folders:
                await self._look_again.wait()
                continue
            try:
                await self._watch(folders)
            except (OSError, RuntimeError) as error:
                _logger.warning("watching=keys error=%s", type(error).__name__)
                await asyncio.sleep(_LOOK_EVERY_MS / 1000)

    async def _watch(self, folders: set[Path]) -> None:
        """Until there are others to watch."""
        changes = awatch(
            *folders,
            watch_filter=None,
            recursive=False,
            step=_PAUSE_MS,
            stop_event=self._look_again,
            rust_timeout=_LOOK_EVERY_MS,
            yield_on_timeout=True,
        )
        async with aclosing(changes):
            async for _ in changes:
                if self._states() != self._seen:
                    self._changed()
                if self._folders() != folders:
                    return

    def _folders(self) -> set[Path]:
        """Those where links and files are, and those where the links lead to."""
        found = {file.absolute().parent for file in self._files()}
        return found | {file.resolve().parent for file in self._files()}

    def _states(self) -> list[object]:
        return [_state(file) for file in self._files()]


def _state(file: Path) -> tuple[object, ...]:
    try:
        found = file.stat()
    except OSError:
        return (file,)
    return (file, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
