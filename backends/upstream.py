"""The seam to servers that speak OpenAI's API: what is sent to one and what comes back.

It stands one level above the token seam: such a server renders, encodes and decodes by itself.
Knows no HTTP library, no way of choosing between servers, and no client.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import msgspec
from pydantic import SecretStr

from core.upstreams import UpstreamKind, UpstreamPlan


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model can be had: an upstream's name, and the model's own name there."""

    upstream: str
    model: str


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """One request for a server. `path` stands behind the base URL (`chat/completions`); one that
    begins with a slash stands behind the server's root (`/tokenize`).

    `fields` are the body's, as the client wrote them; `model` is put in by the host, with the name
    that the server knows. Servers of a kind that `fields_of_kinds` has are sent those instead: what
    is said in their own words. `prompt_start` is what the prompt begins with: requests that have it
    in common go to the same server where they can, for its prefix cache.
    """

    id: str
    path: str
    fields: Mapping[str, msgspec.Raw]
    is_stream: bool = False
    prompt_start: bytes = b""
    client_key: SecretStr | None = None
    fields_of_kinds: Mapping[UpstreamKind, Mapping[str, msgspec.Raw]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WholeReply:
    """A body that has come whole. A status of 400 to 499, other than 429 and 408, is the server's
    answer too: others would say the same.
    """

    upstream: str
    status: int
    media_type: str
    body: bytes


class EventStream(Protocol):
    """Server-sent events on their way. Each item is one or more whole events, byte for byte as the
    server sent them, in valid UTF-8, `data: [DONE]` included.

    An error event of the server's own may be the last instead. Raises UpstreamFailed where the
    stream breaks or ends before that, with nothing of a broken event given out.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Ends the request at the server, also where nothing was read yet. Idempotent. To be called
        however the reading ended.
        """
        ...


@dataclass(frozen=True, slots=True)
class StreamedReply:
    """Events that have begun well: the first one that holds a part of the answer has come, and is
    no error.
    """

    upstream: str
    events: EventStream


UpstreamReply = WholeReply | StreamedReply


class BreakerState(StrEnum):
    """CLOSED: requests pass. OPEN: none does. HALF_OPEN: one at a time does, as a probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class EndpointState:
    """How one URL of an upstream does. `is_reachable` is the last check's outcome, None before the
    first. `latency_s` is the moving mean time to the first piece of an answer. What the server
    tells of itself is None where it does not.
    """

    url: str
    is_reachable: bool | None
    breaker: BreakerState
    num_outstanding: int
    latency_s: float | None
    error: str | None
    num_running: float | None = None
    num_waiting: float | None = None
    kv_cache_usage: float | None = None


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A name that clients can use. `facts` are what the server's list says of the model, as it says
    it (`max_model_len` among them, where it does); `places` in the order they are asked.
    """

    name: str
    places: tuple[Place, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """An upstream with all its URLs. `models` are the names by which clients can have them."""

    name: str
    kind: UpstreamKind
    endpoints: tuple[EndpointState, ...]
    models: tuple[RemoteModel, ...]

    @property
    def is_usable(self) -> bool:
        """Whether a request sent now would reach a server, as far as is known."""
        return any(
            each.breaker is not BreakerState.OPEN and each.is_reachable is not False
            for each in self.endpoints
        )


class UpstreamHost(Protocol):
    """What serving sees of all upstreams."""

    @property
    def plan(self) -> UpstreamPlan: ...

    async def find(self, name: str | None) -> tuple[Place, ...]:
        """Where a model can be had, in the order they are asked; none where nobody has it.

        `NAME://model` and `NAME/model` with an upstream's name or kind, or a bare name from the
        lists; a name that no list holds makes stale lists be asked for again. None or an empty
        name means the default model.
        """
        ...

    async def send(self, call: UpstreamCall, places: tuple[Place, ...]) -> UpstreamReply:
        """Asks one place after another, with retries, until one answers. Raises UpstreamFailed with
        the last one's failure; cancelling it ends what is under way.
        """
        ...

    def kind_of(self, upstream: str) -> UpstreamKind: ...

    def models(self) -> tuple[RemoteModel, ...]:
        """All names known now, from settings and from the lists asked for last."""
        ...

    def states(self) -> tuple[UpstreamState, ...]: ...
