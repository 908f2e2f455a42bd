"""Owns what an answer's text must match, as a value. Compiles nothing.

The text has been checked before it comes here (serving/structures/): engines need not refuse it.
"""

from dataclasses import dataclass
from enum import StrEnum


class GrammarKind(StrEnum):
    """In what words a grammar is written. Its whole text is matched, from the first id on."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class Grammar:
    """`text` is a JSON Schema as JSON, a regular expression, or a Lark grammar, as llguidance
    reads them; a schema may hold options for it under `x-guidance`.
    """

    kind: GrammarKind
    text: str
