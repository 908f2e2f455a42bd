"""Owns finding a vocabulary's control tokens in text. Knows no format and no token id."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from chat_formats.base import Piece


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A control token in a text: where it begins and how long it is."""

    start: int
    spelling: str

    @property
    def end(self) -> int:
        """Where the text goes on."""
        return self.start + len(self.spelling)


class ControlTokens:
    """Finds control tokens in text, at each place the longest one.

    Vocabularies hold a thousand that all begin alike, which makes one regular expression of them
    slow on text full of that character; so places are found by two characters and then looked up.
    """

    def __init__(self, spellings: frozenset[str], *, ignores_case: bool = False) -> None:
        self._ignores_case = ignores_case
        self._spellings = frozenset(self._folded(spelling) for spelling in spellings if spelling)
        self._lengths = sorted({len(spelling) for spelling in self._spellings}, reverse=True)
        flags = re.IGNORECASE if ignores_case else re.NOFLAG
        self._beginning = re.compile(_beginning_pattern(self._spellings), flags)

    def occurrences(self, text: str) -> Iterator[Occurrence]:
        """All places where a control token begins, also inside another one."""
        for match in self._beginning.finditer(text):
            spelling = self._longest_at(text, match.start())
            if spelling is not None:
                yield Occurrence(match.start(), spelling)

    def split(self, text: str) -> Iterator[Piece]:
        """The text as control tokens and what stands between them, as a whole encoding would."""
        position = 0
        for occurrence in self.occurrences(text):
            if occurrence.start < position:
                continue
            yield Piece(text[position : occurrence.start], is_control=False)
            yield Piece(occurrence.spelling, is_control=True)
            position = occurrence.end
        yield Piece(text[position:], is_control=False)

    def _longest_at(self, text: str, start: int) -> str | None:
        for length in self._lengths:
            spelling = text[start : start + length]
            if self._folded(spelling) in self._spellings:
                return spelling
        return None

    def _folded(self, text: str) -> str:
        return text.lower() if self._ignores_case else text


def _beginning_pattern(spellings: frozenset[str]) -> str:
    """Matches one character where a spelling may begin, looking ahead at the second."""
    seconds: dict[str, set[str]] = {}
    for spelling in spellings:
        seconds.setdefault(spelling[0], set()).add(spelling[1:2])
    alternatives = [
        re.escape(first) + ("" if "" in after else f"(?=[{re.escape(''.join(sorted(after)))}])")
        for first, after in sorted(seconds.items())
    ]
    return "|".join(alternatives) or r"(?!)"
