"""Owns what stands in the address of a request for a kept response: pages of items, and streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from api.schemas.validation import shown
from core.errors import InvalidValue, UnsupportedField

DEFAULT_LIMIT, MAX_LIMIT = 20, 100


class _Item(msgspec.Struct):
    """All that is looked at."""

    id: str


_decode_item = msgspec.json.Decoder(_Item).decode


@dataclass(frozen=True, slots=True)
class Page:
    """`after` is the id of the item before the page's first one, in its order."""

    limit: int
    is_ascending: bool
    after: str | None


def refuse_stream(query: Mapping[str, str]) -> None:
    """Raises UnsupportedField: a stream is not kept, so none can be taken up again."""
    for name in ("stream", "include_obfuscation"):
        if query.get(name, "false").lower() != "false":
            raise UnsupportedField(
                f"{name} is {shown(query[name])}; allowed is false: no stream is kept", param=name
            )
    if "starting_after" in query:
        raise UnsupportedField(
            "starting_after is not honoured here: no stream is kept", param="starting_after"
        )


def read_page(query: Mapping[str, str]) -> Page:
    """Raises InvalidValue."""
    limit, order = query.get("limit", str(DEFAULT_LIMIT)), query.get("order", "desc")
    if not limit.isdecimal() or not 1 <= int(limit[:9]) <= MAX_LIMIT:
        raise InvalidValue(
            f"limit is {shown(limit)}; allowed is an integer from 1 to {MAX_LIMIT}", param="limit"
        )
    if order not in ("asc", "desc"):
        raise InvalidValue(f"order is {shown(order)}; allowed is asc or desc", param="order")
    return Page(int(limit[:9]), order == "asc", query.get("after"))


def page_of(items: Sequence[bytes], page: Page) -> dict[str, Any]:
    """The list as OpenAI has it, of items that are JSON each. Raises InvalidValue where `after` is
    none of them.
    """
    ordered = list(items) if page.is_ascending else list(reversed(items))
    start = 0 if page.after is None else _index_after(ordered, page.after)
    found = ordered[start : start + page.limit]
    return {
        "object": "list",
        "data": [msgspec.Raw(item) for item in found],
        "first_id": _decode_item(found[0]).id if found else "",
        "last_id": _decode_item(found[-1]).id if found else "",
        "has_more": start + page.limit < len(ordered),
    }


def _index_after(items: Sequence[bytes], item_id: str) -> int:
    for index, item in enumerate(items):
        if _decode_item(item).id == item_id:
            return index + 1
    raise InvalidValue(f"after is {shown(item_id)}, which is none of the items", param="after")
