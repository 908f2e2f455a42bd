"""Owns the bounded lists and mappings of bodies, read by hand: one message says all of a field.

pydantic would describe each wrong item of a million.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from core.sampling import LARGEST_BIAS

MAX_STOP_STRINGS = 128
MAX_STOP_CHARACTERS = 1024
MAX_STOP_IDS = 256
MAX_BAD_WORDS = 256
MAX_BAD_WORD_CHARACTERS = 256
MAX_BIASED_IDS = 1 << 14
# As many as the largest vocabularies have.
MAX_ALLOWED_IDS = 1 << 18
MAX_ID = 2**31 - 1
MAX_METADATA, MAX_METADATA_NAME, MAX_METADATA_TEXT = 16, 64, 512
_ID = re.compile(r"[0-9]{1,10}")


def _refusal(words: str) -> PydanticCustomError:
    return PydanticCustomError("list", words)


def _strings(words: str, max_count: int, max_length: int) -> Callable[[object], tuple[str, ...]]:
    def read(value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        found = (value,) if isinstance(value, str) else value
        if not isinstance(found, list | tuple) or len(found) > max_count:
            raise _refusal(words)
        if not all(isinstance(each, str) and 0 < len(each) <= max_length for each in found):
            raise _refusal(words)
        return tuple(found)

    return read


def _ids(words: str, min_count: int, max_count: int) -> Callable[[object], tuple[int, ...] | None]:
    def read(value: object) -> tuple[int, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not min_count <= len(value) <= max_count:
            raise _refusal(words)
        if not all(type(each) is int and 0 <= each <= MAX_ID for each in value):
            raise _refusal(words)
        return tuple(dict.fromkeys(value))

    return read


def _bias(value: object) -> tuple[tuple[int, float], ...]:
    if value is None:
        return ()
    words = (
        f"allowed is an object of token ids, as text, each with a number from -{LARGEST_BIAS:g} to"
        f" {LARGEST_BIAS:g}"
    )
    if not isinstance(value, dict) or len(value) > MAX_BIASED_IDS:
        raise _refusal(words)
    found: dict[int, float] = {}
    for token_id, bias in value.items():
        if not _is_bias(token_id, bias) or int(token_id) in found:
            raise _refusal(words)
        found[int(token_id)] = float(bias)
    return tuple(sorted(found.items()))


def _is_bias(token_id: object, bias: object) -> bool:
    is_id = isinstance(token_id, str) and _ID.fullmatch(token_id) is not None
    is_number = isinstance(bias, int | float) and not isinstance(bias, bool)
    return is_id and is_number and -LARGEST_BIAS <= bias <= LARGEST_BIAS  # type: ignore[operator]


def _few_metadata(value: object) -> object:
    """OpenAI's own limits; checked before the values, each of which would be described."""
    if not isinstance(value, dict):
        return value
    is_long = any(
        len(name) > MAX_METADATA_NAME or (isinstance(text, str) and len(text) > MAX_METADATA_TEXT)
        for name, text in value.items()
    )
    if len(value) > MAX_METADATA or is_long:
        raise _refusal(
            f"allowed is an object of at most {MAX_METADATA} texts of at most {MAX_METADATA_TEXT}"
            f" characters, by names of at most {MAX_METADATA_NAME}"
        )
    return value


StopStrings = Annotated[
    tuple[str, ...],
    BeforeValidator(
        _strings(
            "allowed is a string or a list of strings, each of 1 to"
            f" {MAX_STOP_CHARACTERS} characters",
            MAX_STOP_STRINGS,
            MAX_STOP_CHARACTERS,
        ),
        json_schema_input_type=str | list[str] | None,
    ),
]
BadWords = Annotated[
    tuple[str, ...],
    BeforeValidator(
        _strings(
            f"allowed is a list of at most {MAX_BAD_WORDS} strings, each of 1 to"
            f" {MAX_BAD_WORD_CHARACTERS} characters",
            MAX_BAD_WORDS,
            MAX_BAD_WORD_CHARACTERS,
        ),
        json_schema_input_type=list[str] | None,
    ),
]
StopIds = Annotated[
    tuple[int, ...] | None,
    BeforeValidator(
        _ids(f"allowed is a list of at most {MAX_STOP_IDS} token ids", 0, MAX_STOP_IDS),
        json_schema_input_type=list[int] | None,
    ),
]
AllowedIds = Annotated[
    tuple[int, ...] | None,
    BeforeValidator(
        _ids(f"allowed is a list of 1 to {MAX_ALLOWED_IDS} token ids", 1, MAX_ALLOWED_IDS),
        json_schema_input_type=list[int] | None,
    ),
]
LogitBias = Annotated[
    tuple[tuple[int, float], ...],
    BeforeValidator(_bias, json_schema_input_type=dict[str, float] | None),
]
Metadata = Annotated[
    dict[str, str] | None,
    BeforeValidator(_few_metadata, json_schema_input_type=dict[str, Any] | None),
]
