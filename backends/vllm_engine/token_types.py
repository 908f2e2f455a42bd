"""Owns how BERT tells the two texts of a pair apart, as vLLM takes it. `vllm` is not imported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenTypes:
    """Type 0 up to the first separator, type 1 after it."""

    separator_id: int

    def arguments(self, token_ids: Sequence[int]) -> dict[str, int] | None:
        """vLLM takes the place of the first token of type 1. None where all are of type 0."""
        if self.separator_id not in token_ids:
            return None
        begin = token_ids.index(self.separator_id) + 1
        return {"compressed_token_type_ids": begin} if begin < len(token_ids) else None


def token_types(config: Mapping[str, object], pair_of_nothing: Sequence[int]) -> TokenTypes | None:
    """`pair_of_nothing` is two empty texts as the model's encoder puts them together."""
    if config.get("model_type") != "bert" or config.get("type_vocab_size", 2) == 1:
        return None
    return TokenTypes(pair_of_nothing[1]) if len(pair_of_nothing) > 1 else None
