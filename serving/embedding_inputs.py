"""Owns how what is to be embedded becomes ids, and which inputs the loaded model can't take.

Nothing is ever cut: an input that is too long is refused, with the numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backends.embedding import EmbeddingCard, InputEncoder
from core.errors import ContextLengthExceeded, InvalidValue

MAX_TOTAL_TOKENS = 300_000
# Far more than any text has that is not mostly space: words of natural language have two to five.
_CHARACTERS_OF_A_TOKEN = 64


@dataclass(frozen=True, slots=True)
class TextPair:
    """Two texts to be read together."""

    query: str
    document: str


Input = str | tuple[int, ...] | TextPair


@dataclass(frozen=True, slots=True)
class NamedInput:
    """An input, and the request's own name for it, for errors: `input[3]`."""

    name: str
    value: Input

    @property
    def param(self) -> str:
        """The field alone."""
        return self.name.partition("[")[0]

    @property
    def num_characters(self) -> int:
        if isinstance(self.value, TextPair):
            return len(self.value.query) + len(self.value.document)
        return len(self.value)


def named(field: str, values: Sequence[Input]) -> list[NamedInput]:
    """With an index each, also where there is one."""
    return [NamedInput(f"{field}[{index}]", value) for index, value in enumerate(values)]


def encode_inputs(
    inputs: Iterable[NamedInput], encoder: InputEncoder, card: EmbeddingCard
) -> list[tuple[int, ...]]:
    """Blocking. Ids are taken as they are, text gets the model's special ids around it.

    Raises InvalidValue or ContextLengthExceeded for the first input that can't be taken, and
    ContextLengthExceeded where all together are too many.
    """
    encoded: list[tuple[int, ...]] = []
    total = 0
    for each in inputs:
        _check_characters(each, card)
        ids = _encode(each.value, encoder)
        _check(each, ids, card)
        total += len(ids)
        if total > MAX_TOTAL_TOKENS:
            raise ContextLengthExceeded(
                f"the inputs up to {each.name} have {total} tokens; allowed are at most"
                f" {MAX_TOTAL_TOKENS} in one request: send them in several",
                param=each.param,
            )
        encoded.append(ids)
    return encoded


def _check_characters(each: NamedInput, card: EmbeddingCard) -> None:
    """Before the tokenizer sees it, which takes up to a second for a megabyte."""
    limit = _CHARACTERS_OF_A_TOKEN * card.context_window
    if not isinstance(each.value, tuple) and each.num_characters > limit:
        raise ContextLengthExceeded(
            f"{each.name} has {each.num_characters} characters; allowed are at most {limit}, for"
            f" the context window of {card.name} holds {card.context_window} tokens. Nothing is"
            " cut: send it in parts",
            param=each.param,
        )


def _encode(value: Input, encoder: InputEncoder) -> tuple[int, ...]:
    if isinstance(value, TextPair):
        return encoder.encode_pair(value.query, value.document)
    return encoder.encode(value) if isinstance(value, str) else value


def _check(each: NamedInput, ids: tuple[int, ...], card: EmbeddingCard) -> None:
    if not ids:
        raise InvalidValue(f"{each.name} is empty; allowed is a text or ids", param=each.param)
    if len(ids) > card.context_window:
        raise ContextLengthExceeded(
            f"{each.name} has {len(ids)} tokens; the context window of {card.name} holds"
            f" {card.context_window}, the special ones included. Nothing is cut: send it in parts",
            param=each.param,
        )
    lowest, highest = min(ids), max(ids)
    if lowest < 0 or highest >= card.vocabulary_size:
        wrong = lowest if lowest < 0 else highest
        raise InvalidValue(
            f"{each.name} holds the id {wrong}; the model's ids are 0 to"
            f" {card.vocabulary_size - 1}",
            param=each.param,
        )
