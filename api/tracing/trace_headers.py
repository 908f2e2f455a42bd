"""Owns which trace a request says that it belongs to: W3C's headers (Trace Context, level 1), where
they are what they should be. Imports nothing of OpenTelemetry.
"""

import re
from collections.abc import Iterable

from core.request_context import TraceHeaders

TRACE_PARENT, TRACE_STATE = b"traceparent", b"tracestate"

_IDS = rb"-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
# Later versions may have more behind the flags, and are read as far as this one goes.
_PARENT = re.compile(rb"00" + _IDS + rb"|(?!00|ff)[0-9a-f]{2}" + _IDS + rb"(?:-[!-~]*)?")
_LONGEST_PARENT = 512
_MEMBER = re.compile(
    rb"[a-z0-9][a-z0-9_*/-]{0,255}(?:@[a-z][a-z0-9_*/-]{0,13})?"
    rb"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"
)
# What is passed on at least, by the standard: whole, or not at all.
_LONGEST_STATE = 512
_MOST_MEMBERS = 32


def trace_headers_of(headers: Iterable[tuple[bytes, bytes]]) -> TraceHeaders:
    """Empty where they name no trace. A state that is not right is left out."""
    given = [each for each in headers if each[0] in (TRACE_PARENT, TRACE_STATE)]
    parents = [value for name, value in given if name == TRACE_PARENT]
    if len(parents) != 1 or not _is_parent(parents[0]):
        return ()
    state = b",".join(value for name, value in given if name == TRACE_STATE)
    parent = (TRACE_PARENT, parents[0])
    return (parent, (TRACE_STATE, state)) if _is_state(state) else (parent,)


def _is_parent(value: bytes) -> bool:
    return len(value) <= _LONGEST_PARENT and _PARENT.fullmatch(value) is not None


def _is_state(value: bytes) -> bool:
    """A list whose members may be empty, but not all of them."""
    if len(value) > _LONGEST_STATE:
        return False
    members = [each for each in (part.strip(b" \t") for part in value.split(b",")) if each]
    keys = {each.partition(b"=")[0] for each in members}
    return 0 < len(keys) == len(members) <= _MOST_MEMBERS and all(map(_MEMBER.fullmatch, members))
