"""A host of upstreams whose replies are given, for tests."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backends.upstream import (
    Place,
    RemoteModel,
    UpstreamCall,
    UpstreamReply,
    UpstreamState,
)
from core.errors import UpstreamFailed
from core.upstreams import UpstreamKind, UpstreamPlan
from serving.remote.targets import RemoteTarget

DONE = b"data: [DONE]\n\n"


def place(kind: UpstreamKind) -> Place:
    """That of a model at an upstream that is named as its kind."""
    return Place(kind.value, "tiny")


def target(*kinds: UpstreamKind) -> RemoteTarget:
    return RemoteTarget("tiny", tuple(map(place, kinds or (UpstreamKind.JARVIS,))))


class MadeEvents:
    """A stream whose items are given; then it breaks with the error, or ends."""

    def __init__(self, items: Sequence[bytes], error: UpstreamFailed | None = None) -> None:
        self.rest = list(items)
        self.is_closed = False
        self.was_read_to_its_end = False
        self._error = error

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        assert not self.is_closed
        if self.rest:
            return self.rest.pop(0)
        if self._error is not None:
            raise self._error
        self.was_read_to_its_end = True
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass
class MadeHost:
    """Gives its replies, one a call, and keeps what it was asked. Upstreams are named as their
    kinds.
    """

    replies: list[UpstreamReply | UpstreamFailed] = field(default_factory=list)
    calls: list[tuple[UpstreamCall, tuple[Place, ...]]] = field(default_factory=list)
    plan: UpstreamPlan = field(default_factory=UpstreamPlan)

    async def find(self, name: str | None) -> tuple[Place, ...]:
        return ()

    async def send(self, call: UpstreamCall, places: tuple[Place, ...]) -> UpstreamReply:
        self.calls.append((call, places))
        reply = self.replies.pop(0)
        if isinstance(reply, UpstreamFailed):
            raise reply
        return reply

    def kind_of(self, upstream: str) -> UpstreamKind:
        return UpstreamKind(upstream)

    def models(self) -> tuple[RemoteModel, ...]:
        return ()

    def states(self) -> tuple[UpstreamState, ...]:
        return ()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What the first place of each call would be sent, decoded."""
        return [self.body_for(index, places[0]) for index, (_, places) in enumerate(self.calls)]

    def body_for(self, index: int, place: Place) -> dict[str, Any]:
        """What a place of a call would be sent."""
        call, _ = self.calls[index]
        kind = self.kind_of(place.upstream)
        return decoded(call.fields_of_kinds.get(kind, call.fields))


def decoded(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    return {name: msgspec.json.decode(value) for name, value in fields.items()}
