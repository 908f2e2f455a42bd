"""Owns the keys that are in force, and all that hangs on them, as one."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr
from starlette.types import ASGIApp

from api.access.allowances import Allowances
from api.access.charges import TokenCharges
from api.access.guard import Guard
from api.access.key_ring import KeyRing
from api.access.key_source import ReadKeys, file_of, read_keys
from api.access.key_watch import KeyFileWatch
from api.access.salts import TenantSalts
from core.errors import ConfigurationError
from core.observation import Observer
from core.settings import Settings

_logger = logging.getLogger(__name__)


class Access:
    """Who may come, and how much. Event loop only; `start` begins to follow changes of files, and
    `close` ends that.
    """

    def __init__(self, source: SecretStr | None) -> None:
        """Raises ConfigurationError where there is a source that can't be used."""
        self._source = source
        self._read: ReadKeys | None = None
        self._watch = KeyFileWatch(self._watched_files, self._read_again)
        # Before it is read: what changes in between is then read once more.
        self._watch.mark_as_read()
        if source is not None:
            self._read = read_keys(source)
        self._task: asyncio.Task[None] | None = None
        self._salts = TenantSalts()
        self.allowances = Allowances()
        self.observer: Observer = TokenCharges(self.allowances)
        self.salt_of = self._salts.of

    @classmethod
    def open(cls, settings: Settings) -> "Access":
        """Raises ConfigurationError, a line without any key."""
        return cls(settings.api_keys)

    @property
    def ring(self) -> KeyRing | None:
        """None where no key is needed."""
        return None if self._read is None else self._read.ring

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything."""
        return self._read is None

    def guard(self, app: ASGIApp) -> Guard:
        return Guard(app, self)

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch.run(), name="keys")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    def reload(self, settings: Settings) -> None:
        """Takes the keys that the settings name now. Where they can't be used, or are none while
        there were some, the old ones stay, and a line is logged.
        """
        if settings.api_keys is None and self._source is not None:
            _logger.error("keys=kept reason='no keys are set now; restart to run without'")
            return
        self._source = settings.api_keys
        self._read_again()
        self._watch.look_elsewhere()

    def _read_again(self) -> None:
        self._watch.mark_as_read()
        if self._source is None:
            return
        try:
            self._read = read_keys(self._source)
        except ConfigurationError as error:
            _logger.error("keys=kept reason=%r", str(error))
            return
        names = self._read.ring.names
        self.allowances.keep(names)
        _logger.info("keys=%d names=%s", len(names), ",".join(sorted(names)))

    def _watched_files(self) -> Sequence[Path]:
        """Those of the last good reading, and the one to read now."""
        files = () if self._read is None else self._read.files
        named = None if self._source is None else file_of(self._source)
        return files if named is None or named in files else (named, *files)
