"""Owns the socket that the server listens on, and whether it may listen there."""

import socket
from contextlib import suppress

from core.addresses import is_loopback
from core.errors import ConfigurationError
from core.settings import Settings

_BACKLOG = 2048


def listen(settings: Settings) -> socket.socket:
    """A bound socket, so that a taken port is known before anything is loaded.

    Raises ConfigurationError, also where everybody who can reach the address could use the server.
    """
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        check_closed(settings, [str(address[0]) for *_, address in found])
        return _listener(found[0][0], found[0][4])
    except OSError as error:
        raise ConfigurationError(
            f"can't listen on {host} port {port}: {error.strerror}; choose another JARVIS_HOST or"
            " JARVIS_PORT (0 picks a free port)"
        ) from error


def check_closed(settings: Settings, addresses: list[str]) -> None:
    """Raises ConfigurationError where another machine could come in without a key."""
    if settings.api_keys is not None or settings.allow_open:
        return
    others = [address for address in addresses if not is_loopback(address)]
    if others:
        raise ConfigurationError(
            f"JARVIS_HOST={settings.host} ({others[0]}) lets other machines use the server, and no"
            " key is needed: set JARVIS_API_KEYS, or listen on JARVIS_HOST=127.0.0.1, or set"
            " JARVIS_ALLOW_OPEN=true where everybody who can reach it may use it"
        )


def url_of(settings: Settings, listener: socket.socket) -> str:
    """With the port that was picked, where it was left open."""
    host = settings.host
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if settings.tls_cert_file is None else "https"
    return f"{scheme}://{shown}:{listener.getsockname()[1]}"


def _listener(family: int, address: tuple[object, ...]) -> socket.socket:
    # asyncio sends small pieces at once only where a socket names its protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        with suppress(OSError):
            listener.close()
        raise
    return listener
