"""Owns text to the ids of an embedding model with llama.cpp's own tokenizer.

For vocabularies other than WordPiece (see backends/embedding_encoder.py).
"""

from dataclasses import dataclass

from backends.base import Tokenizer


@dataclass(frozen=True, slots=True)
class SpecialIds:
    """What goes around one input and between two; None where the model takes none."""

    first: int | None
    last: int | None
    between: int | None


class NativeEncoder:
    """Implements `backends.embedding.InputEncoder`, as llama.cpp itself puts inputs together."""

    def __init__(self, tokenizer: Tokenizer, special: SpecialIds) -> None:
        self._tokenizer = tokenizer
        self._special = special

    def encode(self, text: str) -> tuple[int, ...]:
        special = self._special
        return (*_given(special.first), *self._ids(text), *_given(special.last))

    def encode_pair(self, query: str, document: str) -> tuple[int, ...]:
        between = (*_given(self._special.last), *_given(self._special.between))
        ids = (*_given(self._special.first), *self._ids(query), *between)
        return (*ids, *self._ids(document), *_given(self._special.last))

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, with_control=False))


def _given(token_id: int | None) -> tuple[int, ...]:
    return () if token_id is None else (token_id,)
