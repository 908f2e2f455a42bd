"""Owns what a client wants an answer's text to match, as values. Compiles and checks nothing.

`param` is the field of the request that said so, which a refusal names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class JsonObject:
    """Any JSON object. `is_compact` leaves no space between its parts."""

    is_compact: bool = False
    param: str = "response_format"


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """JSON that a schema accepts; True accepts all. `is_strict` holds the schema itself to OpenAI's
    rules for strict ones. `is_compact` leaves no space between the parts.
    """

    schema: Mapping[str, Any] | bool
    is_strict: bool = False
    is_compact: bool = False
    param: str = "response_format"


@dataclass(frozen=True, slots=True)
class Regex:
    """A text that the pattern matches from its begin to its end."""

    pattern: str
    param: str = "structured_outputs"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these texts."""

    options: tuple[str, ...]
    param: str = "structured_outputs"


@dataclass(frozen=True, slots=True)
class LarkGrammar:
    """A text that a grammar accepts, written as Lark or as GBNF."""

    text: str
    param: str = "structured_outputs"


Structure = JsonObject | JsonSchema | Regex | Choice | LarkGrammar
