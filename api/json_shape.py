"""Owns how much structure a body may have: how many parts, and how deep. Decodes nothing.

What is deep could be decoded and not written again; millions of tiny lists take seconds to make,
in which no other thread runs.
"""

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidValue

MAX_PARTS = 1 << 19
MAX_DEPTH = 400
MAX_FIELDS = 10_000
_QUOTE, _COLON = b'":'
# What each byte adds to the number of parts, and to the depth.
_PARTS = np.zeros(256, np.int8)
_PARTS[list(b"[{:")] = 1
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def check_shape(body: bytes) -> None:
    """Raises InvalidValue for JSON of too many lists, objects and fields, or that nests too deep.

    Of what is no JSON nothing is promised.
    """
    num_opening, num_colons = body.count(b"[") + body.count(b"{"), body.count(b":")
    num_most = num_opening + num_colons
    if num_opening <= MAX_DEPTH and num_colons <= MAX_FIELDS and num_most <= MAX_PARTS:
        return
    signs = _outside_texts(body)
    signs = signs[_PARTS[signs] | _STEPS[signs] != 0]
    num_parts = int(_PARTS[signs].sum())
    if num_parts > MAX_PARTS:
        raise InvalidValue(
            f"the body holds {num_parts} lists, objects and fields; allowed are at most {MAX_PARTS}"
        )
    depths = np.cumsum(_STEPS[signs], dtype=np.int32)
    if depths.max(initial=0) > MAX_DEPTH:
        raise InvalidValue(
            f"the body's JSON nests too deep; allowed are at most {MAX_DEPTH} lists and objects"
            " within each other"
        )
    num_fields = np.count_nonzero((signs == _COLON) & (depths == 1))
    if num_fields > MAX_FIELDS:
        raise InvalidValue(f"the body has {num_fields} fields; allowed are at most {MAX_FIELDS}")


def _outside_texts(body: bytes) -> NDArray[np.uint8]:
    """The bytes that stand in no text."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    signs = np.frombuffer(plain, np.uint8)
    is_in_text = np.cumsum(signs == _QUOTE, dtype=np.uint8) & 1
    outside: NDArray[np.uint8] = signs[is_in_text == 0]
    return outside
