"""Owns which key a request presents. Knows no keys."""

import hmac
from collections.abc import Iterable, Iterator

_BEARER = b"bearer"


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The one key of the request's Authorization and x-api-key headers; None where there is none,
    or more than one, or something that is no key.
    """
    found = list(_claims(headers))
    if not found or not all(_is_same(each, found[0]) for each in found):
        return None
    return found[0].decode("latin-1")


def _claims(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """One a header; empty where it holds no key, which is not the same as any key."""
    seen = set()
    for name, value in headers:
        name = name.lower()
        if name not in (b"authorization", b"x-api-key"):
            continue
        if name in seen:
            yield b""
        seen.add(name)
        yield _bearer_token(value) if name == b"authorization" else value.strip(b" \t")


def _bearer_token(value: bytes) -> bytes:
    scheme, _, token = value.strip(b" \t").partition(b" ")
    return token.strip(b" \t") if scheme.lower() == _BEARER else b""


def _is_same(first: bytes, second: bytes) -> bool:
    return bool(first) and hmac.compare_digest(first, second)
