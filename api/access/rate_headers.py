"""Owns how a key's standing is told in headers, as OpenAI's API tells it."""

import math
from collections.abc import Iterator

from api.access.allowances import AccountStanding, Standing


def rate_headers(standing: AccountStanding) -> Iterator[tuple[bytes, bytes]]:
    """Nothing of what has no limit."""
    if standing.requests is not None:
        yield from _headers("requests", standing.requests)
    if standing.tokens is not None:
        yield from _headers("tokens", standing.tokens)


def duration(seconds: float) -> str:
    """Whole seconds, rounded up, as Go writes them: 0s, 59s, 6m0s, 23h59m59s."""
    total = math.ceil(seconds)
    hours, minutes = total // 3600, total // 60 % 60
    parts = [f"{hours}h"] if hours else []
    parts += [f"{minutes}m"] if total >= 60 else []
    return "".join([*parts, f"{total % 60}s"])


def _headers(of: str, standing: Standing) -> Iterator[tuple[bytes, bytes]]:
    for name, value in (
        ("limit", str(standing.limit)),
        ("remaining", str(standing.remaining)),
        ("reset", duration(standing.reset_s)),
    ):
        yield f"x-ratelimit-{name}-{of}".encode(), value.encode()
