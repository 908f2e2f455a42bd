"""Clients that read nothing, or slowly: what they cost is bounded, and they are dropped in time."""

import asyncio
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosting.connection import Connection
from tests.hosting.hosted import Hosted, Probe, hosted
from tests.upstream_tls import TestAuthority

PERIOD_S = 0.1
RECEIVED_BYTES = 64 << 10
# More than all buffers between the two ends hold.
LARGE = b"x" * (16 << 20)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture
def server() -> Iterator[Hosted]:
    with hosted(Probe(LARGE), stall_timeout_s=PERIOD_S) as server:
        yield server


def frugal(server: Hosted) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
    client.settimeout(4)
    client.connect(("127.0.0.1", server.port))
    return client


def wait_dropped(client: socket.socket) -> None:
    """Without reading: a reset is told all the same."""
    poll = select.poll()
    poll.register(client, 0)
    assert poll.poll(4000), "the connection is still there"


@pytest.mark.parametrize("end", [b"\r\n", b"Connection: close\r\n\r\n"], ids=["kept", "closing"])
def test_a_client_that_reads_nothing_is_dropped(server: Hosted, end: bytes) -> None:
    with frugal(server) as client:
        client.sendall(GET + end)
        wait_dropped(client)
    assert server.stats.num_stalled == 1


def test_a_client_that_reads_a_little_in_each_period_is_kept() -> None:
    with hosted(Probe(LARGE)) as server, frugal(server) as client:
        client.sendall(GET + b"\r\n")
        client.recv(1)
        (connection,) = server.server.server_state.connections
        assert isinstance(connection, Connection)
        for _ in range(4):
            timer = connection._stall_timer
            for _ in range(16):
                client.recv(RECEIVED_BYTES)
            let_period_pass(connection, timer)
        assert server.stats.num_stalled == 0
        assert server.num_open == 1


def let_period_pass(connection: Connection, timer: asyncio.TimerHandle | None) -> None:
    """The timer, whose period is long, fires now, if it still runs."""
    has_fired = threading.Event()

    def fire() -> None:
        if timer is not None and connection._stall_timer is timer:
            timer.cancel()
            connection._on_stall()
        has_fired.set()

    connection.loop.call_soon_threadsafe(fire)
    assert has_fired.wait(4)


def test_the_end_of_an_answer_that_nobody_reads_keeps_no_connection() -> None:
    """As little as does not make the transport pause."""
    unpaused = 2 * len(LARGE)
    with (
        hosted(Probe(LARGE), stall_timeout_s=PERIOD_S, write_buffer_bytes=unpaused) as server,
        frugal(server) as client,
    ):
        client.sendall(GET + b"Connection: close\r\n\r\n")
        wait_dropped(client)


def test_a_stalled_reader_of_https_is_dropped(tmp_path: Path) -> None:
    authority = TestAuthority(tmp_path)
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    probe = Probe(LARGE)
    with hosted(probe, authority.server_context(), stall_timeout_s=PERIOD_S) as server:
        with trust.wrap_socket(frugal(server), server_hostname="127.0.0.1") as client:
            client.sendall(GET + b"\r\n")
            wait_dropped(client)
        assert server.stats.num_stalled == 1
