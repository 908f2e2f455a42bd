"""Owns how large a structure may be, and its one kind of refusal. Knows no keyword.

What a schema asks for is compiled by native code whose recursion and tables grow with it: chains of
2000 definitions overflow its stack, and 500 optional properties at one place its tables. The limits
stay well below.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import InvalidValue

MAX_NODES = 20_000
MAX_CHARACTERS = 1 << 17
MAX_DEPTH = 100
MAX_SUBSCHEMAS = 1500
MAX_DEFINITIONS = 300
MAX_ALTERNATIVES = 400
MAX_ENUM = 4096
MAX_PATTERN_PROPERTIES = 32
MAX_PATTERNS = 100
MAX_ITEMS = 1000
MAX_LENGTH = 100_000
# Beyond, neighbouring integers are one float, which is what the compiler computes with.
LARGEST_NUMBER = 2**53
SMALLEST_NUMBER = 1e-9
MAX_MULTIPLE = 10_000
_MAX_SHOWN = 100


def refused(param: str, message: str) -> InvalidValue:
    return InvalidValue(f"{param}: {message}", param=param)


def shortened(value: object) -> str:
    """A text in one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a schema something stands: a JSON pointer, and the request's field."""

    param: str
    path: str

    def fault(self, message: str) -> InvalidValue:
        return refused(self.param, f"at {shortened(self.path)}: {message}")


def refuse_large(param: str, schema: object) -> None:
    """Raises InvalidValue for JSON that is too large, or holds what no JSON text can.

    Walks without recursion, and no further than the limits.
    """
    num_characters = 0
    for num_nodes, (value, depth) in enumerate(_nodes(schema)):
        num_characters += len(value) if isinstance(value, str) else 1
        if num_nodes >= MAX_NODES or num_characters > MAX_CHARACTERS:
            raise refused(
                param,
                f"the schema is too large; allowed are at most {MAX_NODES} values and"
                f" {MAX_CHARACTERS} characters",
            )
        if depth > MAX_DEPTH:
            raise refused(param, f"the schema is nested more than {MAX_DEPTH} levels deep")
        _refuse_unwritable(param, value)


def _nodes(schema: object) -> Iterator[tuple[object, int]]:
    """Every value and every key, with its depth."""
    waiting: list[tuple[object, int]] = [(schema, 0)]
    while waiting:
        value, depth = waiting.pop()
        yield value, depth
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield key, depth
                waiting.append((inner, depth + 1))
        elif isinstance(value, list | tuple):
            waiting.extend((inner, depth + 1) for inner in value[: MAX_NODES + 1])


def _refuse_unwritable(param: str, value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise refused(param, f"the schema holds {value}, which is no JSON")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise refused(
                param, "the schema holds half of a surrogate pair, which is no text"
            ) from None
