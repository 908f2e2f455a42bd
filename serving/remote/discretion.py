"""Owns that no server's key comes back in what the server says of a failure.

What is an answer stays byte for byte as it came. Knows no HTTP.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from backends.upstream import (
    EventStream,
    Place,
    RemoteModel,
    StreamedReply,
    UpstreamCall,
    UpstreamHost,
    UpstreamReply,
    UpstreamState,
)
from core.errors import UpstreamFailed
from core.upstreams import Upstream, UpstreamKind, UpstreamPlan

_HIDDEN = b"***"
# What is shorter may be a word: a server without keys is given one all the same, such as "token".
_MIN_SECRET = 8
_FIRST_ERROR_STATUS = 400


class DiscreetHost:
    """An UpstreamHost over another one, whose failures and refusals hold no key."""

    def __init__(self, host: UpstreamHost) -> None:
        self._host = host
        upstreams = host.plan.upstreams
        self._secrets = {upstream.name: _pattern(upstream) for upstream in upstreams}

    @property
    def plan(self) -> UpstreamPlan:
        return self._host.plan

    async def find(self, name: str | None) -> tuple[Place, ...]:
        return await self._host.find(name)

    async def send(self, call: UpstreamCall, places: tuple[Place, ...]) -> UpstreamReply:
        """As UpstreamHost says."""
        try:
            reply = await self._host.send(call, places)
        except UpstreamFailed as error:
            raise self._without_keys(error) from None
        secrets = self._secrets.get(reply.upstream)
        if secrets is None:
            return reply
        if isinstance(reply, StreamedReply):
            return replace(reply, events=_DiscreetEvents(reply.events, secrets, self))
        if reply.status < _FIRST_ERROR_STATUS:
            return reply
        return replace(reply, body=secrets.sub(_HIDDEN, reply.body))

    def kind_of(self, upstream: str) -> UpstreamKind:
        return self._host.kind_of(upstream)

    def models(self) -> tuple[RemoteModel, ...]:
        return self._host.models()

    def states(self) -> tuple[UpstreamState, ...]:
        return self._host.states()

    def _without_keys(self, error: UpstreamFailed) -> UpstreamFailed:
        failure = error.failure
        secrets = self._secrets.get(failure.upstream)
        if secrets is None or not failure.body:
            return error
        return UpstreamFailed(str(error), replace(failure, body=secrets.sub(_HIDDEN, failure.body)))


class _DiscreetEvents:
    """An EventStream. What is no error passes as it is."""

    def __init__(self, events: EventStream, secrets: re.Pattern[bytes], host: DiscreetHost) -> None:
        self._events = events
        self._secrets = secrets
        self._host = host

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._events.__anext__()
        except UpstreamFailed as error:
            raise self._host._without_keys(error) from None
        return self._secrets.sub(_HIDDEN, piece) if b"error" in piece else piece

    async def aclose(self) -> None:
        await self._events.aclose()


def _pattern(upstream: Upstream) -> re.Pattern[bytes] | None:
    """What finds an upstream's secrets in text and in JSON; None where it has none."""
    forms = {form for secret in _secrets_of(upstream) for form in _forms(secret)}
    if not forms:
        return None
    # The longest first: one secret may be the beginning of another.
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile(b"|".join(re.escape(form) for form in longest_first))


def _secrets_of(upstream: Upstream) -> Iterator[str]:
    if upstream.api_key is not None:
        yield upstream.api_key.get_secret_value()
    for value in upstream.extra_headers.values():
        text = value.get_secret_value()
        yield text
        scheme, _, credentials = text.partition(" ")
        if scheme.lower() in ("bearer", "basic", "token"):
            yield credentials.strip()


def _forms(secret: str) -> Iterator[bytes]:
    """As it is, and as writers of JSON spell it."""
    if len(secret) < _MIN_SECRET:
        return
    for text in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield text.encode()
        yield text.replace("/", "\\/").encode()
