"""Cuts long text before control tokens, where both halves are encoded as the whole would be.

llama.cpp looks for each control token through all that is left of a text, so that its time grows
with the square of how many there are. Encodes nothing.
"""

from collections.abc import Iterable, Iterator

from core.spellings import Spellings

_PIECE_CHARACTERS = 1 << 15


class ControlCuts:
    """For one vocabulary. A cut stands before a control token whose first character stands inside
    no control token: none can reach across it. Where white space stands before it there is none,
    for some tokens take that up.
    """

    def __init__(self, controls: Iterable[str], piece_characters: int = _PIECE_CHARACTERS) -> None:
        known = {each for each in controls if each}
        inner = {character for each in known for character in each[1:]}
        self._tokens = Spellings(each for each in known if each[0] not in inner)
        self._piece_characters = piece_characters

    def pieces(self, text: str) -> Iterator[str]:
        """The text in pieces of about so many characters, or more where nothing can be cut."""
        start = 0
        while len(text) - start > self._piece_characters:
            cut = self._next(text, start + self._piece_characters)
            if cut is None:
                break
            yield text[start:cut]
            start = cut
        yield text[start:]

    def _next(self, text: str, at: int) -> int | None:
        for found in self._tokens.found(text, at):
            if not text[found.start() - 1].isspace():
                return found.start()
        return None
