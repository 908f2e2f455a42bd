"""Owns what one connection, and all together, may take of time, memory and descriptors; and the
count of those that took more.
"""

import resource
from dataclasses import dataclass

from core.operation_settings import OperationSettings

MAX_CONNECTIONS = 16_384
# For the engine's files and pipes, and connections to other servers.
_KEPT_DESCRIPTORS = 128


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Times in seconds, sizes in bytes. `connections` may be open at once. An answer that comes
    in pieces waits where `write_buffer_bytes` of it were not taken by the kernel.
    """

    header_timeout_s: float
    body_timeout_s: float
    stall_timeout_s: float
    url_bytes: int
    header_bytes: int
    connections: int = MAX_CONNECTIONS
    write_buffer_bytes: int = 64 << 10


@dataclass(slots=True)
class ConnectionStats:
    """How many connections were dropped because their client read nothing, were answered with 408
    or with another error by the connection itself, or found no place. Owned by the event loop.
    """

    num_stalled: int = 0
    num_timed_out: int = 0
    num_refused: int = 0
    num_beyond: int = 0


def connection_limits(settings: OperationSettings) -> ConnectionLimits:
    """With as many connections as the process may open files, but for some of its own."""
    return ConnectionLimits(
        header_timeout_s=settings.header_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        stall_timeout_s=settings.stall_timeout_s,
        url_bytes=settings.max_url_bytes,
        header_bytes=settings.max_header_bytes,
        connections=connections_for(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    )


def connections_for(num_descriptors: int) -> int:
    """A quarter, 128 at most, is kept for everything else."""
    if num_descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    kept = min(_KEPT_DESCRIPTORS, num_descriptors // 4)
    return max(1, min(MAX_CONNECTIONS, num_descriptors - kept))
