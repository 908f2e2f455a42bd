"""Owns how many values a label may have. Knows no metric.

The names come from fixed sets (routes, error codes, configured keys, served models), so that the
limit is never reached unless one of those sets turns out not to be fixed; each series would then
cost memory for ever.
"""

OTHER = "other"


class BoundedLabel:
    """The first values are kept, all others are one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[str] = set()

    def of(self, value: str) -> str:
        if value in self._seen:
            return value
        if len(self._seen) >= self._most:
            return OTHER
        self._seen.add(value)
        return value
