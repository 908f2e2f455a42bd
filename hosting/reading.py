"""Owns whether a client reads: how much it has not, and a mark that moves while it does."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from contextlib import suppress

_IS_LINUX = sys.platform == "linux"
# tcpi_bytes_acked in struct tcp_info of <linux/tcp.h>.
_ACKED = struct.Struct("120xQ")


def unread_bytes(transport: asyncio.Transport) -> int:
    """What the client's machine has not confirmed: here, and on Linux in the kernel, which may
    hold megabytes.
    """
    return transport.get_write_buffer_size() + (_kernel_bytes(transport) if _IS_LINUX else 0)


def reading_mark(transport: asyncio.Transport) -> int:
    """Another number than before, if the client has read in between. A transport alone would not
    see it for long: the kernel wants a third of its buffer to be read before it takes more.
    """
    if not _IS_LINUX:
        return -transport.get_write_buffer_size()
    try:
        connected = transport.get_extra_info("socket")
        info = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED.size)
        return int(_ACKED.unpack(info)[0])
    except OSError:
        return 0


def reset(transport: asyncio.Transport) -> None:
    """Drops a connection and what the kernel would go on offering to the client."""
    connected = transport.get_extra_info("socket")
    with suppress(OSError):
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _kernel_bytes(transport: asyncio.Transport) -> int:
    descriptor = transport.get_extra_info("socket").fileno()
    try:
        queued = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):
        return 0
    return int.from_bytes(queued, sys.byteorder)
