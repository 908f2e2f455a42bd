"""Owns text to ids with a Hugging Face tokenizer. Knows no vocabulary facts and no engine."""

from typing import TYPE_CHECKING

from backends.rust_encoding import encoded
from core.errors import ModelLoadError

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RustTokenizer


class HuggingFaceTokenizer:
    """Implements `backends.base.Tokenizer` over the text of a tokenizer.json.

    The Rust tokenizer is immutable here and may be called from any thread. Its one switch for
    spelled control tokens is a property of the object, so there is one object for each reading.
    """

    def __init__(self, tokenizer_text: str) -> None:
        """Raises ModelLoadError where the text is no tokenizer."""
        self._with_control = _load(tokenizer_text)
        self._as_plain_text = _load(tokenizer_text)
        self._as_plain_text.encode_special_tokens = True

    def encode(self, text: str, *, with_control: bool) -> list[int]:
        tokenizer = self._with_control if with_control else self._as_plain_text
        # A lone surrogate can't cross into Rust.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        return list(encoded(tokenizer, clean, adds_special=False))


def adds_token_in_front(tokenizer_text: str, token_id: int) -> bool:
    """Whether the tokenizer's own rule puts the id before a plain prompt."""
    ids = _load(tokenizer_text).encode("a", add_special_tokens=True).ids
    return bool(ids) and ids[0] == token_id


def _load(tokenizer_text: str) -> "RustTokenizer":
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(tokenizer_text)
    # The library raises bare Exception for whatever it finds wrong.
    except Exception as error:
        raise ModelLoadError(f"the model's tokenizer.json can't be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
