"""The seam between what speaks HTTP to one URL and what chooses among URLs. Knows neither."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from backends.upstream import UpstreamCall, UpstreamReply, WholeReply
from core.errors import UpstreamFailure


class Wire(Protocol):
    """One URL of one upstream. Belongs to one event loop."""

    @property
    def url(self) -> str:
        """To be shown: without user, password and query."""
        ...

    async def ask(self, call: UpstreamCall, model: str) -> UpstreamReply:
        """Sends a request once and waits until the answer has begun well, or is whole.

        Raises UpstreamFailed. Cancelling it ends the request at the server.
        """
        ...

    async def get(self, path: str) -> WholeReply:
        """A small document of the server, such as `models` or `/metrics`. Raises UpstreamFailed,
        also for one that is too large; any status is a reply.
        """
        ...

    async def close(self) -> None:
        """Ends what is under way with UpstreamFailed. Idempotent."""
        ...


@runtime_checkable
class TellsError(Protocol):
    """An EventStream that knows whether its server ended it with an error."""

    @property
    def told_error(self) -> UpstreamFailure | None:
        """What the last event that was given out says of it."""
        ...


@dataclass(frozen=True, slots=True)
class EndpointCheck:
    """What a look at a server found. What it does not tell of itself is None."""

    is_reachable: bool
    error: str | None = None
    num_running: float | None = None
    num_waiting: float | None = None
    kv_cache_usage: float | None = None
