"""Owns what is kept of a response: itself, and all items that stood before its output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from api.responses.store import ResponseStore
from api.schemas.responses.items import Item


@dataclass(frozen=True, slots=True)
class Record:
    """`response` is JSON, and so is each of `items`: it may be megabytes, of which who asks for one
    thing decodes no other. `items` are those of the whole conversation until then, the request's
    own at the end: so each response can be continued whatever became of those before it. `owner`
    names the account that asked for it: for others it does not exist.
    """

    owner: str
    status: str
    is_background: bool
    response: bytes
    items: tuple[bytes, ...]

    @property
    def num_bytes(self) -> int:
        return len(self.response) + sum(map(len, self.items))


def made_record(response: dict[str, Any], items: tuple[bytes, ...], owner: str) -> Record:
    """`items` as `encoded` has them."""
    shown = msgspec.json.encode(response)
    return Record(owner, response["status"], response["background"], shown, items)


def encoded(items: Sequence[Item]) -> tuple[bytes, ...]:
    """Each as JSON."""
    return tuple(msgspec.json.encode(item) for item in items)


class Records:
    """Records in a store of bytes."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    def put(self, response_id: str, record: Record) -> None:
        # MessagePack, in which text that is not asked for is not looked at.
        self._store.put(response_id, msgspec.msgpack.encode(record))

    async def get(self, response_id: str) -> Record | None:
        """Raises ResponseStoreFailed."""
        body = await self._store.get(response_id)
        return None if body is None else msgspec.msgpack.decode(body, type=Record)

    async def delete(self, response_id: str) -> bool:
        """Raises ResponseStoreFailed."""
        return await self._store.delete(response_id)

    async def close(self) -> None:
        await self._store.close()
