"""Turns a rendered prompt into token ids, once, for every engine. Knows no format and no HTTP.

A control token that the template wrote becomes its id; one that is spelled in somebody's text is
encoded as text. A prompt without the latter is encoded whole, so that its ids are exactly those of
the whole string: models were trained on that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backends.base import Tokenizer
from chat_formats.base import Piece, RenderedPrompt
from core.spellings import Spellings
from core.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """`stop_ids` (sorted) and `stop_strings` end the answer; `text` is the whole prompt."""

    text: str
    token_ids: tuple[int, ...]
    stop_ids: tuple[int, ...]
    stop_strings: tuple[str, ...]


class PromptEncoder:
    """Encodes for one vocabulary. Safe from any thread."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._control_ids = vocabulary.control_tokens()
        self._spelled = Spellings(self._control_ids)

    def encode(self, rendered: RenderedPrompt, tokenizer: Tokenizer) -> tuple[int, ...]:
        if self._has_forged(rendered.pieces):
            return tuple(
                token_id
                for piece in rendered.pieces
                for token_id in self._encode_piece(piece, tokenizer)
            )
        return tuple(tokenizer.encode(rendered.text, with_control=True))

    def _has_forged(self, pieces: tuple[Piece, ...]) -> bool:
        """Whether reading the whole string would see other control tokens than the template's."""
        written = [piece.text for piece in pieces if piece.is_control]
        read = self._spelled.found("".join(piece.text for piece in pieces))
        return [found[0] for found in read] != written

    def _encode_piece(self, piece: Piece, tokenizer: Tokenizer) -> Sequence[int]:
        if piece.is_control:
            return (self._control_ids[piece.text],)
        return tokenizer.encode(piece.text, with_control=False)
