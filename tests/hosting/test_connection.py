"""What a connection takes of a client: sizes, times, and what is no HTTP."""

import json
import logging
import socket
import struct
from collections.abc import Iterator

import pytest

from tests.hosting.hosted import Hosted, Probe, hosted, read_all, read_one

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /body HTTP/1.1\r\nHost: a\r\n"
CLOSE = b"Connection: close\r\n\r\n"
SHORT_S = 0.05


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Hosted, Probe]]:
    probe = Probe()
    with hosted(probe) as server:
        yield server, probe


@pytest.fixture
def server(shared: tuple[Hosted, Probe]) -> Hosted:
    """One for most tests, as if it were new."""
    server, probe = shared
    probe.forget()
    server.stats.num_refused = 0
    return server


@pytest.fixture
def asked(shared: tuple[Hosted, Probe]) -> Probe:
    return shared[1]


def refused(answer: bytes, status: int, code: str) -> None:
    """It is the one answer, and has the body and the name that all errors have."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == head.count(b"\r\nx-request-id: ") == 1
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code


def test_requests_are_served_one_after_another_on_a_connection(
    server: Hosted, asked: Probe
) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.sendall(GET + b"\r\n")
            assert read_one(client).endswith(b"ok")
    assert len(asked.scopes) == 3


def test_a_head_in_single_bytes_is_a_request(server: Hosted) -> None:
    with server.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in POST + b"Content-Length: 3\r\n\r\nabc":
            client.sendall(bytes([byte]))
        assert read_one(client).endswith(b"abc")


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", b"GE", GET, GET + b"X: "],
    ids=["nothing", "empty_line", "method", "headers", "value"],
)
def test_a_head_that_does_not_end_is_answered_with_408(probe: Probe, sent: bytes) -> None:
    with hosted(probe, header_timeout_s=SHORT_S) as server:
        refused(server.ask(sent), 408, "request_timeout")
        assert server.stats.num_timed_out == 1
    assert not probe.scopes


def test_the_next_head_on_a_kept_connection_is_timed_too(probe: Probe) -> None:
    with hosted(probe, header_timeout_s=SHORT_S) as server, server.connect() as client:
        client.sendall(GET + b"\r\n")
        read_one(client)
        client.sendall(b"G")
        refused(read_all(client), 408, "request_timeout")


def test_an_idle_connection_is_kept_longer_than_a_head_may_take(probe: Probe) -> None:
    with hosted(probe, header_timeout_s=SHORT_S) as server, server.connect() as client:
        client.sendall(GET + b"\r\n")
        read_one(client)
        # Another's time-out, which began later, is over when this one's would be.
        refused(server.ask(b""), 408, "request_timeout")
        client.sendall(GET + b"\r\n")
        assert read_one(client).endswith(b"ok")


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
    ids=["length", "chunked"],
)
def test_a_body_that_does_not_end_is_answered_with_408(probe: Probe, framing: bytes) -> None:
    with hosted(probe, body_timeout_s=SHORT_S) as server:
        refused(server.ask(POST + framing), 408, "request_timeout")


def test_a_body_may_take_longer_than_a_head(probe: Probe) -> None:
    with hosted(probe, header_timeout_s=SHORT_S) as server, server.connect() as client:
        client.sendall(POST + b"Content-Length: 6\r\n\r\nabc")
        refused(server.ask(b""), 408, "request_timeout")
        client.sendall(b"def")
        assert read_one(client).endswith(b"abcdef")


def test_a_url_may_be_as_long_as_the_bound_and_no_longer(server: Hosted) -> None:
    for length in (8192, 8193):
        url = b"/".ljust(length, b"x")
        answer = server.ask(b"GET " + url + b" HTTP/1.1\r\nHost: a\r\n" + CLOSE)
        if length == 8192:
            assert answer.startswith(b"HTTP/1.1 200 ")
        else:
            refused(answer, 414, "url_too_long")


def test_a_url_without_end_is_refused_while_it_comes(server: Hosted, asked: Probe) -> None:
    refused(server.ask(b"GET /" + b"x" * 5_800_000), 414, "url_too_long")
    assert not asked.scopes


def test_headers_may_be_as_large_as_the_bound_and_no_larger(server: Hosted) -> None:
    others = len(b"host") + len(b"a") + len(b"connection") + len(b"close") + len(b"x")
    for length in (65536, 65537):
        answer = server.ask(GET + b"X: " + b"x" * (length - others) + b"\r\n" + CLOSE)
        if length == 65536:
            assert answer.startswith(b"HTTP/1.1 200 ")
        else:
            refused(answer, 431, "header_too_large")


@pytest.mark.parametrize("line", [b"X-Forwarded-For: " + b"1" * 5_800_000, b"a:b\r\n" * 1_000_000])
def test_headers_without_end_are_refused_while_they_come(
    server: Hosted, asked: Probe, line: bytes
) -> None:
    refused(server.ask(GET + line), 431, "header_too_large")
    assert not asked.scopes


def test_too_many_headers_are_refused(server: Hosted) -> None:
    refused(server.ask(GET + b"a: b\r\n" * 256 + b"\r\n"), 431, "header_too_large")


def test_trailers_are_no_headers_and_are_bounded(server: Hosted, asked: Probe) -> None:
    chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    with server.connect() as client:
        client.sendall(POST + chunks + b"X-Api-Key: k\r\n\r\n")
        assert read_one(client).endswith(b"abc")
    assert b"x-api-key" not in dict(asked.scopes[0]["headers"])
    refused(server.ask(POST + chunks + b"X: " + b"x" * 5_800_000), 431, "header_too_large")


@pytest.mark.parametrize(
    "head",
    [b"\r\n", b"Host: a\r\nHost: b\r\n\r\n", b"Host: a\r\nhost: a\r\n\r\n"],
    ids=["none", "two", "the_same_twice"],
)
def test_a_request_has_one_host(server: Hosted, asked: Probe, head: bytes) -> None:
    refused(server.ask(b"GET / HTTP/1.1\r\n" + head), 400, "invalid_host")
    assert not asked.scopes


def test_http_1_0_needs_no_host(server: Hosted) -> None:
    assert server.ask(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello in TLS\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        GET + b"X: a\r\n folded\r\n\r\n",
        GET + b"X : a\r\n\r\n",
        GET + b"X: a\x00b\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: -3\r\n\r\nabc",
        POST + b"Content-Length: 3, 3\r\n\r\nabc",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ],
)
def test_what_is_no_http_is_answered_with_400(server: Hosted, sent: bytes) -> None:
    answer = server.ask(sent)
    refused(answer, 400, "invalid_http")
    assert server.stats.num_refused == 1


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_the_wish_for_another_protocol_is_ignored_and_the_body_read(
    server: Hosted, asked: Probe, protocol: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAA\r\n"
    with server.connect() as client:
        for length in (3, 4):
            body = b"x" * length
            head = POST + wish % protocol + b"Content-Length: %d\r\n\r\n" % length
            client.sendall(head + body)
            assert read_one(client).endswith(body)
    assert [scope["type"] for scope in asked.scopes] == ["http", "http"]
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_garbage_behind_a_request_leaves_its_answer_whole(server: Hosted, asked: Probe) -> None:
    answer = server.ask(POST + b"Content-Length: 3\r\n\r\nabc" + b"\x00garbage\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"abc")


def test_requests_sent_ahead_are_answered_in_order_and_bounded(server: Hosted) -> None:
    bodies = [b"%d" % index for index in range(9)]
    ahead = [POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies]
    with server.connect() as client:
        client.sendall(b"".join(ahead))
        assert [read_one(client)[-1:] for _ in bodies] == bodies
    answers = server.ask(GET + b"\r\n" + (GET + b"\r\n") * 10_000)
    assert answers.count(b"HTTP/1.1 200 ") == 1
    assert server.stats.num_refused == 1


def test_a_client_that_goes_away_with_requests_ahead_is_noticed(
    server: Hosted, asked: Probe
) -> None:
    with server.connect() as client:
        client.sendall(GET.replace(b"/", b"/wait", 1) + b"\r\n" + GET + b"\r\n")
        assert asked.is_waiting.wait(4)
    assert asked.is_gone.wait(4)
    assert [scope["path"] for scope in asked.scopes] == ["/wait"]


def test_a_refused_client_that_goes_on_sending_sees_the_answer(server: Hosted) -> None:
    with server.connect() as client:
        client.sendall(b"nonsense\r\n\r\n")
        answer = b""
        while piece := client.recv(65536):
            client.sendall(b"more" * 1000)
            answer += piece
    refused(answer, 400, "invalid_http")


def test_connections_beyond_the_bound_get_503(probe: Probe) -> None:
    with hosted(probe, connections=2) as server, server.connect() as one, server.connect() as two:
        for client in (one, two):
            client.sendall(GET + b"\r\n")
            read_one(client)
        answer = server.ask(GET + b"\r\n")
        refused(answer, 503, "too_many_connections")
        assert b"retry-after: 5" in answer
        assert server.stats.num_beyond == 1
        one.sendall(GET + b"\r\n")
        assert read_one(one).endswith(b"ok")


def test_a_reset_connection_leaves_nothing_behind(server: Hosted, asked: Probe) -> None:
    client = server.connect()
    client.sendall(GET.replace(b"/", b"/wait", 1) + b"\r\n")
    assert asked.is_waiting.wait(4)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert asked.is_gone.wait(4)
    assert server.num_open == 0
