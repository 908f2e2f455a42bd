"""Writes values and dates as the compiler reads them exactly. Knows no other keyword."""

from typing import Any

from serving.structures.keywords import is_number
from serving.structures.limits import Place, shortened

# The compiler's own dates have a 29th of February each year.
_LEAP_YEAR = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAY = (
    "([0-9]{4}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    "|[0-9]{4}-(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|[0-9]{4}-02-(0[1-9]|1[0-9]|2[0-8])"
    f"|{_LEAP_YEAR}-02-29)"
)
_PATTERNS = {"date": f"^{_DAY}$", "date-time": f"^{_DAY}[Tt]"}


def with_real_dates(parts: dict[str, Any]) -> dict[str, Any]:
    """A format of dates also as a pattern that knows leap years."""
    pattern = _PATTERNS.get(parts.get("format", ""))
    if pattern is None:
        return parts
    return {**parts, "allOf": [*parts.get("allOf", ()), {"pattern": pattern}]}


def plain_value(value: Any, place: Place) -> Any:
    """The value, its numbers in plain digits. Raises InvalidValue for one that would be another.

    Recurses: what nests too deep is refused before.
    """
    if isinstance(value, dict):
        return {name: plain_value(each, place) for name, each in value.items()}
    if isinstance(value, list):
        return [plain_value(each, place) for each in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _plain_number(value, place)
    return value


def _plain_number(value: int | float, place: Place) -> int | float:
    if not is_number(value):
        raise place.fault(
            f"the number {shortened(value)} is not kept exactly; allowed are those from -2^53 to"
            " 2^53, with at most 9 decimals near 0"
        )
    return int(value) if value == int(value) else value
