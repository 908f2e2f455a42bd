"""Owns finding some words in a long text, so that other threads run meanwhile. Knows no tokens."""

import re
from collections.abc import Iterable, Iterator

_PIECE_CHARACTERS = 1 << 16
# How often words may part ways in a nested expression, whose compiler is recursive.
_LEVELS = 32


class Spellings:
    """Finds words: at each place the longest one, and none that begins inside one found.

    Each character is looked at once or twice, however many words begin alike.
    """

    def __init__(self, words: Iterable[str], piece_characters: int = _PIECE_CHARACTERS) -> None:
        known = {word for word in words if word}
        self._longest = max(map(len, known), default=0)
        self._pattern = re.compile(_one_of(known, _LEVELS) if known else r"(?!)")
        self._piece = piece_characters

    def found(self, text: str, start: int = 0) -> Iterator[re.Match[str]]:
        """The words from `start` on. One search through all of a text would let nobody else run."""
        while start < len(text):
            end = start + self._piece
            match = self._pattern.search(text, start, end + self._longest)
            if match is None or match.start() >= end:
                start = end
            else:
                yield match
                start = match.end()


def _one_of(words: set[str], levels: int) -> str:
    shared = _shared_beginning(min(words), max(words))
    rests = {word[len(shared) :] for word in words}
    if rests == {""}:
        return re.escape(shared)
    optional = "?" if "" in rests else ""
    return f"{re.escape(shared)}(?:{'|'.join(_branches(rests - {''}, levels))}){optional}"


def _branches(words: set[str], levels: int) -> list[str]:
    """Where words part ways by a character, so that one of it at most can match."""
    if levels == 0:
        return [re.escape(word) for word in sorted(words, key=len, reverse=True)]
    groups: dict[str, set[str]] = {}
    for word in words:
        groups.setdefault(word[0], set()).add(word)
    return [_one_of(group, levels - 1) for group in groups.values()]


def _shared_beginning(low: str, high: str) -> str:
    pairs = enumerate(zip(low, high, strict=False))
    return low[: next((at for at, (one, other) in pairs if one != other), len(low))]
