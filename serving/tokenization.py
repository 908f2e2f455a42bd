"""Owns text to ids and back for clients who ask for nothing else. Knows no HTTP and no engine.

The ids of a text are those that it would have as a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backends.base import ModelCard, Tokenizer
from core.errors import InvalidValue
from serving.fair_threads import FairThreads
from serving.turns import Claim

# Below so much, the work costs less than a hand-over to a thread.
_INLINE_CHARACTERS = 4096
_INLINE_IDS = 4096


@dataclass(frozen=True, slots=True)
class Tokenization:
    """For one loaded model, and for an account: what takes long waits for its turn of `threads`."""

    card: ModelCard
    tokenizer: Tokenizer
    threads: FairThreads
    account: str = ""

    async def encode(
        self, text: str, *, adds_special: bool, with_control: bool = True
    ) -> tuple[int, ...]:
        """`adds_special` puts begin-of-text before it where the model's tokenizer does that, once.
        `with_control` reads spelled control tokens as such. Raises QueueFull.
        """

        def encoded() -> tuple[int, ...]:
            return tuple(self.tokenizer.encode(text, with_control=with_control))

        is_short = len(text) <= _INLINE_CHARACTERS
        ids = encoded() if is_short else await self.threads.run(self._claim(len(text)), encoded)
        return self.begun(ids) if adds_special else ids

    def begun(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """The ids with begin-of-text before them, where the model's tokenizer puts it."""
        vocabulary = self.card.vocabulary
        if not vocabulary.add_bos or vocabulary.bos_id is None or ids[:1] == (vocabulary.bos_id,):
            return ids
        return (vocabulary.bos_id, *ids)

    async def decode(self, ids: tuple[int, ...]) -> str:
        """Control tokens as they are spelled; bytes that are no UTF-8 show as U+FFFD.

        Raises InvalidValue for an id that the vocabulary does not have, and QueueFull.
        """
        if len(ids) <= _INLINE_IDS:
            return self._decoded(ids)
        return await self.threads.run(self._claim(len(ids)), lambda: self._decoded(ids))

    def spelled(self, ids: Sequence[int]) -> list[str]:
        """Each id's text; bytes that are no UTF-8 show as U+FFFD."""
        return [self.card.vocabulary.spelling(token_id) for token_id in ids]

    def pieces(self, ids: Sequence[int]) -> list[str | list[int]]:
        """Each id's text, or its bytes where they are no whole characters."""
        return [self._piece(token_id) for token_id in ids]

    def _claim(self, size: int) -> Claim:
        return Claim(self.account, 0, size)

    def _piece(self, token_id: int) -> str | list[int]:
        data = self.card.vocabulary.pieces[token_id]
        try:
            return data.decode()
        except UnicodeDecodeError:
            return list(data)

    def _decoded(self, ids: tuple[int, ...]) -> str:
        pieces = self.card.vocabulary.pieces
        limit = len(pieces)
        for token_id in ids:
            if not 0 <= token_id < limit:
                raise InvalidValue(
                    f"tokens holds the id {str(token_id)[:20]}; allowed are 0 to {limit - 1}",
                    param="tokens",
                )
        return b"".join([pieces[token_id] for token_id in ids]).decode("utf-8", "replace")
