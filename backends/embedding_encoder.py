"""Owns text to the ids of an embedding model with the `tokenizers` library. Knows no engine.

A special token that a text spells is text, as everywhere in this project: only the encoder itself
puts special ids into an input.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.rust_encoding import encoded
from core.errors import ModelLoadError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RustTokenizer

CONTINUING = "##"
# A longer word is one unknown token: what BERT's own tokenizer does, and the library by default.
_LONGEST_WORD = 100


@dataclass(frozen=True, slots=True)
class WordPieces:
    """A WordPiece vocabulary: the text of each id as WordPiece writes it, and three special ids.

    `strips_accents` takes combining marks off; `lowercase` makes letters small.
    """

    texts: Sequence[str]
    cls_id: int
    sep_id: int
    unknown_id: int
    lowercase: bool
    strips_accents: bool


class TextEncoder:
    """Implements `backends.embedding.InputEncoder`. The Rust tokenizer is immutable here."""

    def __init__(self, tokenizer: "RustTokenizer") -> None:
        self._tokenizer = tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(encoded(self._tokenizer, _clean(text), adds_special=True))

    def encode_pair(self, query: str, document: str) -> tuple[int, ...]:
        pair = (_clean(query), _clean(document))
        return tuple(encoded(self._tokenizer, pair, adds_special=True))


def encoder_of_json(tokenizer_text: str) -> TextEncoder:
    """Over the text of a tokenizer.json. Raises ModelLoadError where it is none."""
    from tokenizers import Tokenizer

    try:
        return TextEncoder(Tokenizer.from_str(tokenizer_text))
    # The library raises bare Exception for whatever it finds wrong.
    except Exception as error:
        raise ModelLoadError(f"the model's tokenizer.json can't be read: {error}") from error


def encoder_of_word_pieces(pieces: WordPieces) -> TextEncoder:
    return TextEncoder(tokenizer_of_word_pieces(pieces))


def tokenizer_of_word_pieces(pieces: WordPieces) -> "RustTokenizer":
    """BERT's tokenizer over a vocabulary: what the model's own tokenizer.json describes.

    llama.cpp's tokenizer of this kind takes the longest match over whole words, accents and
    punctuation by other rules, which gives other ids for some texts.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    cls, sep, unknown = (
        pieces.texts[token_id] for token_id in (pieces.cls_id, pieces.sep_id, pieces.unknown_id)
    )
    ids = {text: token_id for token_id, text in enumerate(pieces.texts)}
    tokenizer = Tokenizer(
        models.WordPiece(
            ids,
            unk_token=unknown,
            max_input_chars_per_word=_LONGEST_WORD,
            continuing_subword_prefix=CONTINUING,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=True,
        strip_accents=pieces.strips_accents,
        lowercase=pieces.lowercase,
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B {sep}",
        special_tokens=[(cls, pieces.cls_id), (sep, pieces.sep_id)],
    )
    return tokenizer


def _clean(text: str) -> str:
    """A lone surrogate can't cross into Rust."""
    return text.encode("utf-8", "replace").decode("utf-8")
