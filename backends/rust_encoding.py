"""Owns how the `tokenizers` library is asked for ids, so that others run meanwhile.

Its call for one text holds Python's lock to its end, seconds for megabytes, in which a server says
nothing at all. Its call for several lets it go, but waits for a thread of the library's own, behind
what others have there: short texts, which are encoded on the event loop, don't go that way.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backends.undivided_text import refuse_undivided

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_LONG_CHARACTERS = 4096


def encoded(
    tokenizer: "Tokenizer", given: str | tuple[str, str], *, adds_special: bool
) -> Sequence[int]:
    """The ids of a text, or of two in one. Raises InvalidValue where llama.cpp would have to."""
    text, pair = (given, None) if isinstance(given, str) else given
    for each in (text, pair or ""):
        refuse_undivided(each)
    if len(text) + len(pair or "") <= _LONG_CHARACTERS:
        ids: Sequence[int] = tokenizer.encode(text, pair, add_special_tokens=adds_special).ids
    else:
        ids = tokenizer.encode_batch_fast([given], add_special_tokens=adds_special)[0].ids
    return ids
