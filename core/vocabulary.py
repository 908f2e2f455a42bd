"""Owns what is known of a model's token ids, the same for every engine. Encodes nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`pieces[id]` are the bytes that id stands for in text; a control id's are its spelling.

    `control_ids` are the ids that only a template may produce. `metadata_end_ids` are those that
    the model's own metadata names as ending a turn (GGUF eos/eot/eom, generation_config's list).
    `add_bos` tells whether the model's tokenizer puts begin-of-text before a plain prompt.
    """

    pieces: tuple[bytes, ...]
    control_ids: frozenset[int]
    bos_id: int | None
    eos_id: int | None
    metadata_end_ids: frozenset[int]
    add_bos: bool

    def __len__(self) -> int:
        return len(self.pieces)

    def __post_init__(self) -> None:
        named = {i for i in (self.bos_id, self.eos_id) if i is not None}
        for token_id in named | self.control_ids | self.metadata_end_ids:
            if not 0 <= token_id < len(self.pieces):
                raise ValueError(f"token id {token_id} is outside a vocabulary of {len(self)}")

    def spelling(self, token_id: int) -> str:
        """The text of one id; bytes that are no UTF-8 show as U+FFFD."""
        return self.pieces[token_id].decode("utf-8", "replace")

    def control_tokens(self) -> dict[str, int]:
        """Spelling → id of every control token (the lowest id where two share a spelling)."""
        return {self.spelling(i): i for i in sorted(self.control_ids, reverse=True)}
