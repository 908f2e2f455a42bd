"""Refuses schemas that leave too much open at one place of the text. Reads translated ones alone.

The parser holds what may come next in one row, of 2000 items in all engines; a row that overflows
ends an answer in the middle.
"""

from collections.abc import Mapping
from typing import Any

from serving.structures.limits import refused

MAX_ROW_ITEMS = 1600
# As measured: of a value's begin, and of a property that may be left out.
_VALUE_ITEMS, _OPTIONAL_ITEMS = 3, 4
_MAX_DEPTH = 40


def refuse_wide(definitions: Mapping[str, Any], param: str) -> None:
    """Raises InvalidValue."""
    rows = _Rows(definitions)
    for schema in definitions.values():
        rows.width(schema, 0)
        if rows.widest > MAX_ROW_ITEMS:
            raise refused(
                param,
                "the schema leaves too much open at one place: alternatives that begin alike, with"
                f" about {rows.widest // _OPTIONAL_ITEMS} optional properties together; allowed are"
                f" about {MAX_ROW_ITEMS // _OPTIONAL_ITEMS}",
            )


class _Rows:
    """`widest` is the largest row found so far. What nests too deep counts as one value."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._known: dict[str, int] = {}
        self.widest = 0

    def width(self, schema: Any, depth: int) -> int:
        """About how many items begin where a value of the schema does."""
        if isinstance(schema, bool) or depth > _MAX_DEPTH:
            return _VALUE_ITEMS
        own = _VALUE_ITEMS + self._properties(schema, depth) + self._items(schema, depth)
        for word in ("anyOf", "allOf"):
            own += sum(self.width(each, depth + 1) for each in schema.get(word, ()))
        if "$ref" in schema:
            own += self._definition(schema["$ref"].rpartition("/")[2], depth)
        self.widest = max(self.widest, own)
        return own

    def _definition(self, name: str, depth: int) -> int:
        if name not in self._known:
            self._known[name] = _VALUE_ITEMS  # where it refers to itself
            self._known[name] = self.width(self._definitions[name], depth + 1)
        return self._known[name]

    def _properties(self, schema: Mapping[str, Any], depth: int) -> int:
        """Values of properties begin rows of their own."""
        properties = schema.get("properties", {})
        for each in (*properties.values(), schema.get("additionalProperties", False)):
            self.width(each, depth + 1)
        required = set(schema.get("required", ()))
        return _OPTIONAL_ITEMS * sum(name not in required for name in properties)

    def _items(self, schema: Mapping[str, Any], depth: int) -> int:
        """The first item begins in the row of its array."""
        inner = [*schema.get("prefixItems", ()), schema.get("items", False)]
        widths = [self.width(each, depth + 1) for each in inner]
        return widths[0] if "items" in schema or "prefixItems" in schema else 0
