"""Owns how far a text goes on with nothing in it that every tokenizer cuts at. Knows no engine.

llama.cpp finds words by regular expressions whose matcher calls itself for each character of a
match, and too many end the process. No kind of words that it knows reaches over a letter or digit
that a mark or the end of a line follows.
"""

import re
from collections.abc import Iterator

from core.errors import InvalidValue

LONGEST_STRETCH = 1 << 20
# Letters that were letters in the first editions of Unicode: engines' tables may be of others.
_LETTER = (
    r"0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u021f\u0391-\u03a1\u03a3-\u03ce\u0410-\u044f"
    r"\u05d0-\u05ea\u0621-\u063a\u0641-\u064a\u0905-\u0939\u0e01-\u0e30\u10d0-\u10f0"
    r"\u3041-\u3094\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
)
_MARK = r"\t\n\v\f\r()|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c"
_DIVIDED = re.compile(f"[{_LETTER}][{_MARK}]")
_FIRST_LOOK = 256


def refuse_undivided(text: str) -> None:
    """Raises InvalidValue for what llama.cpp would need too much memory for, on any engine."""
    if is_undivided(text, LONGEST_STRETCH):
        raise InvalidValue(
            f"the text goes on for more than {LONGEST_STRETCH} characters without punctuation or"
            " the end of a line after a letter or digit: divide it"
        )


def is_undivided(text: str, limit: int) -> bool:
    """Whether more than `limit` characters follow each other that nothing divides."""
    start = 0
    while len(text) - start > limit:
        divided = _last_place(text, start, start + limit + 1)
        if divided is None:
            return True
        start = divided
    return False


def _last_place(text: str, start: int, end: int) -> int | None:
    """Where a stretch may begin, as far on as a short look finds one."""
    for begin in _beginnings(start, end):
        if found := _DIVIDED.search(text, begin, end):
            return found.start() + 1
    return None


def _beginnings(start: int, end: int) -> Iterator[int]:
    """Looks that reach further back, each four times as far as the one before."""
    size = _FIRST_LOOK
    while end - size > start:
        yield end - size
        size *= 4
    yield start
