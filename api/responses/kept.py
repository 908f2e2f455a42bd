"""Owns the responses that can be asked for by id: those under way in the background, and those
that were kept.
"""

import asyncio
from collections.abc import Callable

from api.responses.answer import Response
from api.responses.background import BackgroundRuns
from api.responses.records import Record, Records, made_record
from api.responses.sqlite_store import SqliteStore
from api.responses.store import MemoryStore, StoreLimits
from core.errors import InvalidValue, PreviousResponseNotFound, ResponseNotFound
from core.settings import Settings

_UNDER_WAY = ("queued", "in_progress")
_MISSING = (
    "response with id '{id}' not found: it was never kept, was deleted, or gave way to newer ones"
)


class KeptResponses:
    """Every method but `keeper` and `close` raises ResponseStoreFailed. `owner` names the account
    that asks: it sees its own responses alone.
    """

    def __init__(self, records: Records, runs: BackgroundRuns) -> None:
        self.runs = runs
        self._records = records

    def keeper(self, items: tuple[bytes, ...], owner: str) -> Callable[[Response], None]:
        """For an answer to `items`, each as JSON: keeps it when it has ended."""

        def keep(response: Response) -> None:
            self._records.put(response["id"], made_record(response, items, owner))

        return keep

    async def find(self, response_id: str, owner: str) -> Record:
        """Raises ResponseNotFound."""
        record = await self._lookup(response_id, owner)
        if record is None:
            raise _not_found(response_id)
        return record

    async def previous(self, previous_id: str, owner: str) -> Record:
        """The response that another goes on with.

        Raises PreviousResponseNotFound, or InvalidValue where it is under way.
        """
        record = await self._lookup(previous_id, owner)
        if record is None:
            raise PreviousResponseNotFound(
                f"Previous {_MISSING.format(id=previous_id)}", param="previous_response_id"
            )
        if record.status in _UNDER_WAY:
            raise InvalidValue(
                f"the response {previous_id} is {record.status}: wait for its end, or cancel it",
                param="previous_response_id",
            )
        return record

    async def cancel(self, response_id: str, owner: str) -> Record:
        """As it is then; one that has ended stays as it is. Raises ResponseNotFound or
        InvalidValue.
        """
        record = await self.find(response_id, owner)
        if not record.is_background:
            raise InvalidValue(
                "Cannot cancel a synchronous response: only one with background: true can be"
                " cancelled; close the connection instead",
                param="response_id",
            )
        self.runs.cancel(response_id)
        return await self.find(response_id, owner)

    async def delete(self, response_id: str, owner: str) -> None:
        """Raises ResponseNotFound. One under way is stopped."""
        await self.find(response_id, owner)
        was_running = self.runs.forget(response_id)
        if not await self._records.delete(response_id) and not was_running:
            raise _not_found(response_id)

    async def close(self) -> None:
        await self.runs.close()
        await self._records.close()

    async def _lookup(self, response_id: str, owner: str) -> Record | None:
        record = self.runs.find(response_id) or await self._records.get(response_id)
        return record if record is not None and record.owner == owner else None


def open_responses(settings: Settings, readers: set[asyncio.Task[None]]) -> KeptResponses:
    """Raises ConfigurationError where the store's file can't be used."""
    limits = StoreLimits(settings.response_store_count, settings.response_store_mib << 20)
    path = settings.response_store
    store = MemoryStore(limits) if path is None else SqliteStore(path, limits)
    return KeptResponses(Records(store), BackgroundRuns(readers))


def _not_found(response_id: str) -> ResponseNotFound:
    words = _MISSING.format(id=response_id[:200])
    return ResponseNotFound(words[0].upper() + words[1:], param="response_id")
