"""Owns what may stand in a header that goes to a server, and variables that hold it.

No message here holds any of a secret, or of what may be one by mistake.
"""

import re
from collections.abc import Mapping

from pydantic import SecretStr

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,127}")
# What HTTP itself needs, or what is decided for each request.
_NOT_GIVEN = (
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
)
_LONGEST = 8192


def checked_secret(text: str) -> SecretStr:
    """Raises ValueError where it can't stand in a header."""
    if not text:
        raise ValueError("it is empty; leave it out, or give a value")
    if len(text) > _LONGEST or not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("allowed: printable ASCII characters, without spaces around them")
    return SecretStr(text)


def secret_of_variable(name: str, environ: Mapping[str, str]) -> SecretStr:
    """Raises ValueError where the variable is not set, or holds what can't stand in a header."""
    if not _VARIABLE.fullmatch(name):
        raise ValueError("the name of a variable is wanted, such as OPENROUTER_API_KEY; no key")
    text = environ.get(name, "")
    if not text:
        raise ValueError(f"the variable {name} is not set")
    try:
        return checked_secret(text)
    except ValueError as error:
        raise ValueError(f"the variable {name}: {error}") from None


def header_name(name: str, *, has_key: bool) -> str:
    """Raises ValueError where it is none, or not the operator's to give."""
    if not _HEADER_NAME.fullmatch(name):
        # Not shown: whoever writes a whole header as its name writes its value too.
        raise ValueError("one of them is no name of a header; allowed: letters, digits and '-'")
    if name.lower() in _NOT_GIVEN:
        raise ValueError(f"{name} is set by this server itself")
    if name.lower() == "authorization" and has_key:
        raise ValueError(f"{name} is made of the API key; give only one of them")
    return name
