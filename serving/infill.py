"""Owns how a model is asked for what stands between two texts. Knows no engine and no HTTP.

Models that were trained for it have control tokens for it, and each family its own order of the
two texts. Families are told apart by how these tokens are spelled; the orders are those of the
models' own pages, of transformers (CodeLlama) and of mistral_common (Codestral). A vocabulary may
have the tokens though the model was never trained with them: nothing in its files tells that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from backends.base import Tokenizer
from core.vocabulary import Vocabulary

# As mistral_common: a character that merges with nothing.
_MARK = "\u263a"


class InfillOrder(Enum):
    """What stands where; the middle token, where there is one, comes last."""

    PREFIX_FIRST = "prefix first"
    SUFFIX_FIRST = "suffix first"


@dataclass(frozen=True, slots=True)
class Infill:
    """The ids that ask one model for a middle. `middle_id` None: the prefix's end asks for it.

    `bos_id` is begin-of-text where the model wants it. `end_ids` end such an answer, besides those
    that end any.
    """

    order: InfillOrder
    prefix_id: int
    suffix_id: int
    middle_id: int | None
    bos_id: int | None
    end_ids: frozenset[int]

    def prompt_ids(self, prefix_ids: Sequence[int], suffix_ids: Sequence[int]) -> tuple[int, ...]:
        """The prompt whose answer goes between the two."""
        parts = [(self.prefix_id, *prefix_ids), (self.suffix_id, *suffix_ids)]
        if self.order is InfillOrder.SUFFIX_FIRST:
            parts.reverse()
        begin = () if self.bos_id is None else (self.bos_id,)
        middle = () if self.middle_id is None else (self.middle_id,)
        return (*begin, *parts[0], *parts[1], *middle)


@dataclass(frozen=True, slots=True)
class _Family:
    """Spellings, each with its alternatives; `ends` are other control tokens that end an answer."""

    prefix: tuple[str, ...]
    suffix: tuple[str, ...]
    middle: tuple[str, ...]
    ends: tuple[str, ...] = ()
    order: InfillOrder = InfillOrder.PREFIX_FIRST


_FAMILIES = (
    # Qwen2.5-Coder, CodeGemma, Granite 4.
    _Family(
        ("<|fim_prefix|>",),
        ("<|fim_suffix|>",),
        ("<|fim_middle|>",),
        (
            *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|file_separator|>"),
            *("<|endoftext|>", "<|im_end|>"),
        ),
    ),
    # StarCoder 1 and 2, Granite 3, StableCode.
    _Family(
        ("<fim_prefix>",),
        ("<fim_suffix>",),
        ("<fim_middle>",),
        ("<fim_pad>", "<repo_name>", "<reponame>", "<file_sep>", "<filename>", "<|endoftext|>"),
    ),
    # SantaCoder.
    _Family(
        ("<fim-prefix>",), ("<fim-suffix>",), ("<fim-middle>",), ("<fim-pad>", "<|endoftext|>")
    ),
    # DeepSeek-Coder 1 and 2, DeepSeek-V3.
    _Family(
        ("<\uff5cfim\u2581begin\uff5c>",),
        ("<\uff5cfim\u2581hole\uff5c>",),
        ("<\uff5cfim\u2581end\uff5c>",),
        ("<\uff5cend\u2581of\u2581sentence\uff5c>", "<|EOT|>"),
    ),
    # CodeLlama.
    _Family(
        ("\u2581<PRE>", " <PRE>", "<PRE>"),
        ("\u2581<SUF>", " <SUF>", "<SUF>"),
        ("\u2581<MID>", " <MID>", "<MID>"),
        ("\u2581<EOT>", " <EOT>", "<EOT>"),
    ),
    # Seed-Coder.
    _Family(
        ("<[fim-prefix]>",),
        ("<[fim-suffix]>",),
        ("<[fim-middle]>",),
        order=InfillOrder.SUFFIX_FIRST,
    ),
    # GLM-4.5.
    _Family(("<|code_prefix|>",), ("<|code_suffix|>",), ("<|code_middle|>",), ("<|endoftext|>",)),
    # Falcon-H1-Tiny-Coder.
    _Family(("<|prefix|>",), ("<|suffix|>",), ("<|middle|>",), ("<|endoftext|>",)),
    # Codestral has a token [MIDDLE] too, which its prompts don't use.
    _Family(("[PREFIX]",), ("[SUFFIX]",), (), ("[MIDDLE]",), InfillOrder.SUFFIX_FIRST),
)


def find_infill(vocabulary: Vocabulary) -> Infill | None:
    """None where the vocabulary has the tokens of no known family."""
    ids = _ids_by_spelling(vocabulary)
    found = (_infill(family, ids, vocabulary) for family in _FAMILIES)
    return next((infill for infill in found if infill is not None), None)


def encode_suffix(text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """The ids of a text that comes after a cursor: no space is put before it, as sentencepiece
    does at a text's begin."""
    mark = tuple(tokenizer.encode(_MARK, with_control=False))
    marked = tuple(tokenizer.encode(_MARK + text, with_control=False))
    if marked[: len(mark)] == mark:
        return marked[len(mark) :]
    return tuple(tokenizer.encode(text, with_control=False))


def _infill(family: _Family, ids: dict[str, int], vocabulary: Vocabulary) -> Infill | None:
    prefix_id = _first(family.prefix, ids)
    suffix_id = _first(family.suffix, ids)
    middle_id = _first(family.middle, ids)
    if prefix_id is None or suffix_id is None or (family.middle and middle_id is None):
        return None
    ends = {ids[spelling] for spelling in family.ends if spelling in ids}
    own = {token_id for token_id in (prefix_id, suffix_id, middle_id) if token_id is not None}
    return Infill(
        order=family.order,
        prefix_id=prefix_id,
        suffix_id=suffix_id,
        middle_id=middle_id,
        bos_id=vocabulary.bos_id if vocabulary.add_bos else None,
        end_ids=frozenset(own | ends),
    )


def _first(spellings: Iterable[str], ids: dict[str, int]) -> int | None:
    return next((ids[spelling] for spelling in spellings if spelling in ids), None)


def _ids_by_spelling(vocabulary: Vocabulary) -> dict[str, int]:
    """Of every spelling in the table that the vocabulary has, a control token's id where there is
    one: Hugging Face folders don't count all of these tokens as such."""
    wanted = {
        spelling.encode(): spelling
        for family in _FAMILIES
        for spelling in (*family.prefix, *family.suffix, *family.middle, *family.ends)
    }
    found: dict[str, int] = {}
    for token_id, piece in enumerate(vocabulary.pieces):
        if piece in wanted:
            found.setdefault(wanted[piece], token_id)
    return found | {s: i for s, i in vocabulary.control_tokens().items() if s.encode() in wanted}
