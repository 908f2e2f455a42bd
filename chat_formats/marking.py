"""Owns how client text is told apart from template text after a template has mixed them.

Knows no template and no message. A marker, a character that stands nowhere else, is put into a
client's text wherever that text spells a control token, or could complete one together with what
a template writes beside it. What still reads as a control token in the rendering was written by
the template; then the markers are taken out again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from chat_formats.base import Piece, merge_pieces
from chat_formats.control_tokens import ControlTokens


@dataclass(frozen=True, slots=True)
class Marks:
    """What puts markers into an assistant's answer, and into any other text of a client.

    `marker` is empty where nothing is marked.
    """

    answer: Callable[[str], str]
    other: Callable[[str], str]
    marker: str = ""


class ForgeryGuard:
    """Marks and reads text against one vocabulary.

    Control tokens of one character are left out: nothing can be put inside them, so they are text
    in every prompt of a Jinja template.
    """

    def __init__(self, controls: frozenset[str]) -> None:
        spellings = frozenset(token for token in controls if len(token) > 1)
        self._controls = ControlTokens(spellings)
        # Case is ignored since templates may change it.
        self._spelled = ControlTokens(spellings, ignores_case=True)
        self._longest = max(map(len, spellings), default=0)
        self._beginnings = frozenset(
            token[:length] for token in spellings for length in range(1, len(token))
        )
        self._endings = frozenset(
            token[-length:] for token in spellings for length in range(1, len(token))
        )
        self._all_spellings = "\x00".join(spellings).lower()

    def tokens_in(self, text: str) -> frozenset[str]:
        """The control tokens spelled in full in a text, in lower case."""
        return frozenset(each.spelling.lower() for each in self._spelled.occurrences(text))

    def mark(
        self,
        text: str,
        marker: str,
        skipped: frozenset[str] = frozenset(),
        *,
        marks_middles: bool = True,
    ) -> str:
        """The text with markers; the same text where nothing in it could become a control token.

        `skipped` are control tokens in lower case that are not marked where spelled in full.
        `marks_middles` marks a text that as a whole stands inside a control token.
        """
        positions = {
            each.start + 1
            for each in self._spelled.occurrences(text)
            if each.spelling.lower() not in skipped
        }
        # Templates trim, so white space at an edge hides nothing.
        for start, end in {(0, len(text)), _trimmed_span(text)}:
            positions.update(self._open_beginnings(text, start, end))
            positions.update(self._open_endings(text, start, end))
        if marks_middles and self._is_middle(text.strip()):
            positions.add(_trimmed_span(text)[0] + 1)
        if not positions:
            return text
        bounds = [0, *sorted(positions), len(text)]
        return marker.join(text[left:right] for left, right in pairwise(bounds))

    def read(self, marked: str, marker: str) -> tuple[Piece, ...]:
        """The rendering as pieces, without markers."""
        return merge_pieces(
            piece if piece.is_control else Piece(unmarked(piece.text, marker), is_control=False)
            for piece in self._controls.split(with_plain_marker(marked, marker))
        )

    def _is_middle(self, text: str) -> bool:
        return 0 < len(text) < self._longest and text.lower() in self._all_spellings

    def _open_beginnings(self, text: str, start: int, end: int) -> Iterable[int]:
        for length in range(1, min(self._longest, end - start + 1)):
            if text[end - length : end] in self._beginnings:
                yield end - length + 1

    def _open_endings(self, text: str, start: int, end: int) -> Iterable[int]:
        for length in range(1, min(self._longest, end - start + 1)):
            if text[start : start + length] in self._endings:
                yield start + length - 1


def choose_marker(texts: Iterable[str]) -> str:
    """A noncharacter of Unicode that none of the texts holds, neither plain nor JSON-escaped.

    Raises ValueError where all 32 are taken.
    """
    everything = "\x00".join(texts)
    for code in range(0xFDD0, 0xFDF0):
        if chr(code) not in everything and _escaped(chr(code)) not in everything:
            return chr(code)
    raise ValueError("the texts hold every noncharacter of Unicode")


def with_plain_marker(marked: str, marker: str) -> str:
    """The text with markers as characters where a template wrote them as ASCII-only JSON."""
    return marked.replace(_escaped(marker), marker)


def unmarked(marked: str, marker: str) -> str:
    """The text without markers."""
    return with_plain_marker(marked, marker).replace(marker, "")


def _escaped(marker: str) -> str:
    return f"\\u{ord(marker):04x}"


def _trimmed_span(text: str) -> tuple[int, int]:
    end = len(text.rstrip())
    return min(len(text) - len(text.lstrip()), end), end
