"""Owns responses kept in an SQLite file, which outlives the process.

One thread of its own holds the connection and does all work in the order it was asked for: the
event loop never waits for a disk. Where that hangs, what waits to be written is bounded, and so is
how long a request waits; `close` waits until all is done, or the server's end is forced.
"""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from api.responses.store import StoreLimits, is_too_large
from core.errors import ConfigurationError, ResponseStoreFailed

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Tells our files from others': "jrvs", and which tables they hold.
_APPLICATION_ID = 0x6A727673
_VERSION = 2
_BUSY_TIMEOUT_S = 5.0
_HANGS_AFTER_S = 30.0
_MOST_WAITING_BYTES = 64 << 20
# What one that waits holds beside its body.
_ENTRY_BYTES = 2048
# What was deleted is overwritten: it was a conversation.
_SETTINGS = ("journal_mode = WAL", "synchronous = NORMAL", "secure_delete = ON")
_TABLES = f"""
BEGIN;
CREATE TABLE responses (
    id TEXT PRIMARY KEY, last_use INTEGER NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE INDEX by_last_use ON responses (last_use);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class SqliteStore:
    """Implements `api.responses.store.ResponseStore`."""

    def __init__(
        self,
        path: Path,
        limits: StoreLimits,
        *,
        most_waiting_bytes: int = _MOST_WAITING_BYTES,
        hangs_after_s: float = _HANGS_AFTER_S,
    ) -> None:
        """Opens the file, or makes it. Raises ConfigurationError. Blocks for as long as that
        takes.

        What is put while `most_waiting_bytes` wait to be written is not kept. A file that does not
        answer for `hangs_after_s` has failed.
        """
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="responses")
        self._most_waiting_bytes = most_waiting_bytes
        self._hangs_after_s = hangs_after_s
        self._num_waiting_bytes = 0
        try:
            self._rows = self._thread.submit(_Rows, path, limits).result()
        except (OSError, sqlite3.Error) as error:
            self._thread.shutdown()
            raise ConfigurationError(
                f"JARVIS_RESPONSE_STORE={path}: {error}; name another file"
            ) from error
        except BaseException:
            self._thread.shutdown()
            raise

    def put(self, response_id: str, body: bytes) -> None:
        num_bytes = len(body) + _ENTRY_BYTES
        num_waiting = self._num_waiting_bytes
        if num_waiting and num_waiting + num_bytes > self._most_waiting_bytes:
            logger.error(
                "response=%s was not kept: %d bytes wait for the disk", response_id, num_waiting
            )
            return
        try:
            done = self._thread.submit(self._rows.put, response_id, body)
        except RuntimeError:
            logger.error("response=%s was not kept: the store is closed", response_id)
            return
        self._num_waiting_bytes += num_bytes
        asyncio.wrap_future(done).add_done_callback(lambda put: self._was_put(put, num_bytes))

    async def get(self, response_id: str) -> bytes | None:
        return await self._done(lambda: self._rows.get(response_id))

    async def delete(self, response_id: str) -> bool:
        return await self._done(lambda: self._rows.delete(response_id))

    async def close(self) -> None:
        """What was put before is in the file when this returns."""
        await self._answered(self._rows.close, None)
        self._thread.shutdown(wait=False)

    def _was_put(self, done: asyncio.Future[None], num_bytes: int) -> None:
        self._num_waiting_bytes -= num_bytes
        error = None if done.cancelled() else done.exception()
        if error is not None:
            logger.error("a response was not kept error=%s", error)

    async def _done(self, work: Callable[[], T]) -> T:
        return await self._answered(work, self._hangs_after_s)

    async def _answered(self, work: Callable[[], T], limit_s: float | None) -> T:
        """What nobody waits for any more, and was not begun, is not done."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.wait_for(done, limit_s)
        except TimeoutError as error:
            logger.error("the response store hangs")
            raise ResponseStoreFailed("the store of responses does not answer") from error
        except sqlite3.Error as error:
            logger.error("the response store failed error=%s", error)
            raise ResponseStoreFailed("the store of responses can't be read or written") from error


class _Rows:
    """The table. Made and used by the store's thread alone."""

    def __init__(self, path: Path, limits: StoreLimits) -> None:
        self._limits = limits
        self._database = _opened(path)
        self._seen_version = -1
        self._count = self._num_bytes = self._last_use = 0
        self._see_others()
        self._evict()

    def put(self, response_id: str, body: bytes) -> None:
        if is_too_large(response_id, body, self._limits):
            return
        self._see_others()
        self._delete(response_id)
        row = (response_id, self._next_use(), len(body), body)
        self._database.execute("INSERT INTO responses VALUES (?, ?, ?, ?)", row)
        self._count += 1
        self._num_bytes += len(body)
        self._evict()

    def get(self, response_id: str) -> bytes | None:
        """A disk that is full keeps nobody from reading."""
        find = "SELECT body FROM responses WHERE id = ?"
        found = self._database.execute(find, (response_id,)).fetchone()
        if found is None:
            return None
        use = "UPDATE responses SET last_use = ? WHERE id = ?"
        try:
            self._database.execute(use, (self._next_use(), response_id))
        except sqlite3.Error as error:
            logger.warning("response=%s was read, its use not noted error=%s", response_id, error)
        body: bytes = found[0]
        return body

    def delete(self, response_id: str) -> bool:
        return self._delete(response_id)

    def close(self) -> None:
        self._database.close()

    def _see_others(self) -> None:
        """Counts anew where another process has written: two servers may share a file."""
        version = self._database.execute("PRAGMA data_version").fetchone()[0]
        if version == self._seen_version:
            return
        total = "SELECT count(*), coalesce(sum(size), 0), coalesce(max(last_use), 0) FROM responses"
        self._count, self._num_bytes, self._last_use = self._database.execute(total).fetchone()
        self._seen_version = version

    def _next_use(self) -> int:
        self._last_use += 1
        return int(self._last_use)

    def _delete(self, response_id: str) -> bool:
        delete = "DELETE FROM responses WHERE id = ? RETURNING size"
        found = self._database.execute(delete, (response_id,)).fetchall()
        for (size,) in found:
            self._count -= 1
            self._num_bytes -= size
        return bool(found)

    def _evict(self) -> None:
        while self._count > self._limits.max_count or self._num_bytes > self._limits.max_bytes:
            oldest = "SELECT id FROM responses ORDER BY last_use LIMIT 1"
            found = self._database.execute(oldest).fetchone()
            if found is None:
                return
            self._delete(found[0])


def _opened(path: Path) -> sqlite3.Connection:
    """In autocommit: every statement is one transaction."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only the owner reads what was said.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        _prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    is_empty = not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if is_empty:
        database.executescript(_TABLES)
    found = tuple(
        database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version")
    )
    if found != (_APPLICATION_ID, _VERSION):
        raise ConfigurationError(
            f"JARVIS_RESPONSE_STORE={path}: the file is no response store of this version; name"
            " another file"
        )
    for setting in _SETTINGS:
        database.execute(f"PRAGMA {setting}")
