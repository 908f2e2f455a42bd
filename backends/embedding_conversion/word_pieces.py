"""Owns a WordPiece vocabulary as tokenizer.json has it and as a GGUF has it.

WordPiece marks what continues a word; a GGUF marks what begins one.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backends.embedding_encoder import (
    CONTINUING,
    TextEncoder,
    WordPieces,
    encoder_of_json,
    encoder_of_word_pieces,
)
from core.errors import ModelLoadError

_PHANTOM_SPACE = "\u2581"
_NEEDED = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")
# On these, tokenizers of other making differ from BERT's own.
_TRIED = (
    *("", "Ünïcödé, «quoted» text: don't!", "北京 and 日本語", "a\tb\x00c\u200bd e\u0301"),
    *("x" * 100, "x" * 101, "UPPER İstanbul ΣΑΣ", "[CLS] [MASK] ##ing", "12,345.67 $ ½ ﬁ"),
)


@dataclass(frozen=True, slots=True)
class FolderVocabulary:
    """`pieces.texts` has a made-up text where the tokenizer has no token; `control` are the ids of
    special tokens, `unused` those of none.
    """

    pieces: WordPieces
    ids: Mapping[str, int]
    control: frozenset[int]
    unused: frozenset[int]


def vocabulary_of_json(tokenizer: Mapping[str, Any], size: int, name: str) -> FolderVocabulary:
    """`size` counts the model's ids, `name` is the folder's. Raises ModelLoadError where a GGUF
    would give other ids.
    """
    ids: dict[str, int] = tokenizer["model"]["vocab"]
    missing = [token for token in _NEEDED if token not in ids]
    if missing:
        raise ModelLoadError(f"the vocabulary of {name} has no {', '.join(missing)}")
    normalizer = tokenizer.get("normalizer") or {}
    if normalizer.get("type") != "BertNormalizer":
        raise ModelLoadError(f"a GGUF can't hold the normalizer {normalizer.get('type')} of {name}")
    lowercase, strips = bool(normalizer["lowercase"]), normalizer.get("strip_accents")
    texts = {token_id: text for text, token_id in ids.items()}
    pieces = WordPieces(
        texts=[texts.get(token_id, f"[PAD{token_id}]") for token_id in range(size)],
        cls_id=ids["[CLS]"],
        sep_id=ids["[SEP]"],
        unknown_id=ids["[UNK]"],
        lowercase=lowercase,
        strips_accents=lowercase if strips is None else bool(strips),
    )
    _refuse_other_ids(tokenizer, pieces, name)
    added = tokenizer.get("added_tokens") or ()
    control = frozenset(int(each["id"]) for each in added if each["special"])
    return FolderVocabulary(pieces, ids, control, frozenset(set(range(size)) - set(texts)))


def with_phantom_space(text: str) -> str:
    """A plain token's text as a GGUF has it."""
    is_continuing = text.startswith(CONTINUING)
    return text.removeprefix(CONTINUING) if is_continuing else _PHANTOM_SPACE + text


def without_phantom_space(text: str) -> str:
    begins_word = text.startswith(_PHANTOM_SPACE)
    return text.removeprefix(_PHANTOM_SPACE) if begins_word else CONTINUING + text


def _refuse_other_ids(tokenizer: Mapping[str, Any], pieces: WordPieces, name: str) -> None:
    own, rebuilt = encoder_of_json(json.dumps(tokenizer)), encoder_of_word_pieces(pieces)
    plain = " ".join(
        str(each["content"]) for each in tokenizer.get("added_tokens") or () if not each["special"]
    )
    if any(one != other for one, other in _compared(own, rebuilt, (*_TRIED, plain))):
        raise ModelLoadError(
            f"a GGUF can't hold the tokenizer of {name}, which splits text by rules of its own: set"
            " JARVIS_INFERENCE_ENGINE=vllm"
        )


def _compared(
    one: TextEncoder, other: TextEncoder, texts: Sequence[str]
) -> Iterator[tuple[object, object]]:
    for text in texts:
        yield one.encode(text), other.encode(text)
        yield one.encode_pair(text, texts[1]), other.encode_pair(text, texts[1])
