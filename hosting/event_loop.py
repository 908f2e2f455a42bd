"""Owns the event loop: uvloop's, with what uvicorn can't ask of it, and with the audit events that
Python's own sockets raise and libuv's do not. Decides nothing by itself.
"""

import sys
from typing import Any

import uvloop

from core.addresses import is_own_name

_HANDSHAKE_TIMEOUT_S = 20.0
_ANYWHERE = ("*", 0)


class EventLoop(uvloop.Loop):
    """What `uvicorn.Config(loop=...)` takes by its path, "hosting.event_loop:EventLoop"."""

    async def create_server(self, *args: Any, **options: Any) -> Any:
        """A TLS client that never shakes hands is given up."""
        if options.get("ssl") is not None:
            options.setdefault("ssl_handshake_timeout", _HANDSHAKE_TIMEOUT_S)
        return await super().create_server(*args, **options)

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        if host is not None:
            sys.audit("socket.connect", None, (host, port))
        return await super().create_connection(protocol_factory, host, port, **options)

    async def create_datagram_endpoint(
        self, protocol_factory: Any, local_addr: Any = None, remote_addr: Any = None, **options: Any
    ) -> Any:
        """Without a peer it may send to wherever its own address reaches."""
        if options.get("sock") is None:
            is_bound_here = local_addr is not None and is_own_name(local_addr[0])
            peer = remote_addr or (local_addr if is_bound_here else _ANYWHERE)
            sys.audit("socket.connect", None, peer)
        return await super().create_datagram_endpoint(
            protocol_factory, local_addr, remote_addr, **options
        )

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        sys.audit("socket.getaddrinfo", host, port, 0, 0, 0)
        return await super().getaddrinfo(host, port, **options)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        sys.audit("socket.getnameinfo", sockaddr)
        return await super().getnameinfo(sockaddr, flags)
