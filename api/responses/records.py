"""Owns what is kept of a response: itself, and all items that stood before its output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from api.responses.store import ResponseStore


@dataclass(frozen=True, slots=True)
class Record:
    """`items` are those of the whole conversation until then, the request's own at the end: so
    each response can be continued whatever became of those before it. `owner` names the account
    that asked for it: for others it does not exist.
    """

    response: dict[str, Any]
    items: list[dict[str, Any]]
    owner: str = ""


class Records:
    """Records in a store of bytes."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    def put(self, response: dict[str, Any], items: Sequence[dict[str, Any]], owner: str) -> None:
        record = Record(response, list(items), owner)
        self._store.put(response["id"], msgspec.json.encode(record))

    async def get(self, response_id: str) -> Record | None:
        """Raises ResponseStoreFailed."""
        body = await self._store.get(response_id)
        return None if body is None else msgspec.json.decode(body, type=Record)

    async def delete(self, response_id: str) -> bool:
        """Raises ResponseStoreFailed."""
        return await self._store.delete(response_id)

    async def close(self) -> None:
        await self._store.close()
