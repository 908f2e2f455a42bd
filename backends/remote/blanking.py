"""Owns that no key of a server comes back in what it says of a failure, or of itself.

What is an answer stays byte for byte as it came. Knows no HTTP.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from core.errors import UpstreamFailed
from core.upstreams import Upstream

_HIDDEN = b"***"
# What is shorter may be a word: a server without keys is given one all the same, such as "token".
_MIN_SECRET = 8
_SCHEMES = ("bearer", "basic", "token")


class Blanking:
    """Finds an upstream's key and the values of its headers, in text and in JSON."""

    def __init__(self, upstream: Upstream) -> None:
        forms = {form for secret in _secrets_of(upstream) for form in _forms(secret)}
        # The longest first: one secret may be the beginning of another.
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if forms else None

    def of(self, text: bytes) -> bytes:
        return text if self._pattern is None else self._pattern.sub(_HIDDEN, text)

    def of_failure(self, error: UpstreamFailed) -> UpstreamFailed:
        """The same failure, without them in the server's body."""
        failure = error.failure
        return UpstreamFailed(str(error), replace(failure, body=self.of(failure.body)))


def _secrets_of(upstream: Upstream) -> Iterator[str]:
    if upstream.api_key is not None:
        yield upstream.api_key.get_secret_value()
    for value in upstream.extra_headers.values():
        text = value.get_secret_value()
        yield text
        scheme, _, credentials = text.partition(" ")
        if scheme.lower() in _SCHEMES:
            yield credentials.strip()


def _forms(secret: str) -> Iterator[bytes]:
    """As it is, and as writers of JSON spell it."""
    if len(secret) < _MIN_SECRET:
        return
    for text in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield text.encode()
        yield text.replace("/", "\\/").encode()
