"""Owns which names a request may be sent to where no key protects the server: a web page whose name
was made to mean this machine (DNS rebinding) must not reach it. Knows no key.
"""

import re
import socket
from collections.abc import Iterator
from functools import lru_cache

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import response_to
from core.addresses import is_loopback, is_own_name
from core.errors import HostRefused
from core.settings import Settings

_PORT = re.compile(r":\d*$")
_CACHE_SIZE = 256
# No name in the DNS is longer; a port and brackets may come with it.
_LONGEST_HOST = 255 + 8


class HostRule:
    """The names that are this server's: those that always mean this machine, and `names`."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def allows(self, host_header: str) -> bool:
        """By name alone; the port may be any."""
        name = _bare(host_header)
        return is_own_name(name) or name in self._names


def host_rule(settings: Settings) -> HostRule | None:
    """None where a key is needed, and where other machines may come by names not given here."""
    if settings.api_keys is not None:
        return None
    if not settings.allowed_hosts and not _is_bound_to_loopback(settings.host):
        return None
    return HostRule(frozenset(map(_bare, (settings.host, *settings.allowed_hosts))))


class HostGuard:
    """ASGI middleware: answers 421 to requests for any other name."""

    def __init__(self, app: ASGIApp, rule: HostRule) -> None:
        self._app = app
        self._allows = lru_cache(_CACHE_SIZE)(rule.allows)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name in _hosts_of(scope):
                if len(name) > _LONGEST_HOST or not self._allows(name):
                    error = HostRefused(
                        f"{name[:200]!r} is no name of this server; names that it has are set by"
                        " JARVIS_ALLOWED_HOSTS"
                    )
                    await response_to(Request(scope), error)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _hosts_of(scope: Scope) -> Iterator[str]:
    return (value.decode("latin-1") for name, value in scope["headers"] if name == b"host")


def _bare(host_header: str) -> str:
    """Without port, brackets and final dot."""
    name = host_header.strip().lower()
    # An IPv6 address without brackets has no port.
    if name.startswith("[") or name.count(":") == 1:
        name = _PORT.sub("", name)
    return name.removeprefix("[").removesuffix("]").removesuffix(".")


def _is_bound_to_loopback(host: str) -> bool:
    if is_own_name(host):
        return True
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(is_loopback(str(address[0])) for *_, address in found)
