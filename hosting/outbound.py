"""Owns the refusal of every connection and look-up that would leave this machine, for as long as
the process lives. What native code connects by itself is out of its reach.
"""

import errno
import ipaddress
import sys
from typing import Any

from core.addresses import is_loopback, is_own_name

_SENDING = ("socket.connect", "socket.sendto", "socket.sendmsg")
_LOOKING_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")


class LeavesMachine(OSError):
    """A connection or a look-up that offline mode does not allow: no network, to libraries."""

    def __init__(self, host: str) -> None:
        super().__init__(
            errno.ENETUNREACH, f"JARVIS_OFFLINE=true: nothing leaves this machine, nor to {host}"
        )


def refuse_outbound() -> None:
    """From now on, in this process. It can't be taken back."""
    sys.addaudithook(_on_event)


def _on_event(event: str, args: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    if event in _SENDING:
        host = _host_of(args[1])
        if host is not None and not is_loopback(host) and not _is_here(host):
            raise LeavesMachine(host)
    elif event in _LOOKING_UP or event == "socket.getnameinfo":
        name = _host_of(args[0]) if event == "socket.getnameinfo" else _text(args[0])
        if name and not is_own_name(name) and not _is_read_off(event, name):
            raise LeavesMachine(name)


def _host_of(address: Any) -> str | None:
    """None for addresses of other kinds, which are files or numbers of the kernel's."""
    return _text(address[0]) if isinstance(address, tuple) and address else None


def _text(host: Any) -> str | None:
    if isinstance(host, bytes | bytearray):
        return host.decode("ascii", "replace")
    return host if isinstance(host, str) else None


def _is_here(host: str) -> bool:
    """The address of no host in particular reaches this one; so does a name that is its own."""
    return host in ("", "0.0.0.0", "::") or is_own_name(host)


def _is_read_off(event: str, name: str) -> bool:
    """An address in digits is looked up by nobody, unless its name is what is wanted."""
    if event not in ("socket.getaddrinfo", "socket.gethostbyname"):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
