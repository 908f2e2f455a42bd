"""What a connection's own errors tell: whose request it was, in which API's words, in one line."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from core.messages_errors import error_body
from core.request_context import request_id
from tests.fuzz.raw_client import exchange
from tests.hosting.hosted import Hosted, Probe, hosted, read_all, read_one
from tests.threats.conftest import scripted_server

NEW_ID = "[0-9a-f]{32}"
# No Host header: the head is whole, and refused.
NO_HOST = b"GET / HTTP/1.1\r\n%s\r\n"
SHORT_S = 0.05


@dataclass(frozen=True)
class Told:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def told(answer: bytes) -> Told:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines), "none twice"
    return Told(int(first.split()[1]), headers, json.loads(body))


@dataclass(frozen=True)
class Line:
    """A line of the log: whose it is, and its facts."""

    request_id: str | None
    facts: dict[str, Any]


class Reader(Probe):
    """Answers what is whole."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.request":
            await super().__call__(scope, receive, send)


class Lines(logging.Handler):
    """Knows, as the server's own, for which request each was written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in ("hosting.connection", "api.reply_log"):
            self.lines.append(Line(request_id.get(), record.__dict__["facts"]))


@pytest.fixture
def log() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.fixture(scope="module")
def server() -> Iterator[Hosted]:
    with hosted(Probe()) as server:
        yield server


@pytest.fixture(scope="module")
def slow_server() -> Iterator[Hosted]:
    """Patient with nobody."""
    with hosted(Reader(), header_timeout_s=SHORT_S, body_timeout_s=SHORT_S) as server:
        yield server


def test_the_clients_name_for_it_comes_back(server: Hosted, log: Lines) -> None:
    answer = told(server.ask(NO_HOST % b"X-Request-Id: my-id/1\r\nX-Request-Id: other\r\n"))
    assert (answer.status, answer.headers["x-request-id"]) == (400, "my-id/1")
    assert log.lines == [Line("my-id/1", {"status": 400, "error": "invalid_host"})]


@pytest.mark.parametrize("odd", [b"a b", b"x" * 129, b"", b"a\xff", b"a<b"])
def test_a_name_that_is_not_safe_is_not_shown(server: Hosted, log: Lines, odd: bytes) -> None:
    answer = told(server.ask(NO_HOST % (b"X-Request-Id: " + odd + b"\r\n")))
    assert re.fullmatch(NEW_ID, answer.headers["x-request-id"])
    assert [line.request_id for line in log.lines] == [answer.headers["x-request-id"]]


def test_what_has_no_head_gets_a_name_of_its_own(slow_server: Hosted, log: Lines) -> None:
    """Not that of the request before it on the same connection."""
    answers = [told(slow_server.ask(b"")), told(slow_server.ask(b"nonsense\r\n\r\n"))]
    first = b"GET /v1/messages HTTP/1.1\r\nHost: a\r\nX-Request-Id: first\r\n\r\n"
    for more in (b"\x16", b"\r\n"):
        with slow_server.connect() as client:
            client.sendall(first)
            assert read_one(client).endswith(b"ok")
            client.sendall(more)
            answers.append(told(read_all(client)))
    assert [answer.status for answer in answers] == [408, 400, 400, 408]
    assert all("error" in answer.body and "type" not in answer.body for answer in answers)
    names = [answer.headers["x-request-id"] for answer in answers]
    assert all(re.fullmatch(NEW_ID, name) for name in names)
    assert [line.request_id for line in log.lines] == names


@pytest.mark.parametrize(
    "end",
    [b"X : bad\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
    ids=["head", "body"],
)
def test_what_waits_behind_an_answer_is_told_of_without_one(
    server: Hosted, log: Lines, end: bytes
) -> None:
    first, second = b"GET / HTTP/1.1\r\nHost: a\r\n", b"POST / HTTP/1.1\r\nHost: a\r\n"
    answer = server.ask(first + b"\r\n" + second + b"X-Request-Id: behind\r\nA: b\r\n" + end)
    assert answer.count(b"HTTP/1.1 ") == answer.count(b"HTTP/1.1 200 ") == 1
    assert log.lines == [Line("behind", {"status": 400, "error": "invalid_http"})]


MESSAGES = [
    b"/v1/messages",
    b"/v1/messages/batches?x=1",
    b"/v1/messages/count_tokens",
    b"/v1/m%65ssages",
    b"http://a/v1/messages",
]
OTHERS = [b"/v1/messagesx", b"/v1/chat/completions", b"/?/v1/messages", b"/x/v1/messages", b"*"]


@pytest.mark.parametrize("url", MESSAGES)
def test_anthropics_paths_have_anthropics_errors(server: Hosted, url: bytes) -> None:
    answer = told(server.ask(b"POST " + url + b" HTTP/1.1\r\nX-Request-Id: mine\r\n\r\n"))
    assert answer.headers["x-request-id"] == "mine"
    named = answer.headers["request-id"]
    assert re.fullmatch("req_" + NEW_ID, named)
    assert answer.body["error"]["type"] == "invalid_request_error"
    assert answer.body == error_body(400, answer.body["error"]["message"], named)


@pytest.mark.parametrize("url", OTHERS)
def test_other_paths_have_openais(server: Hosted, url: bytes) -> None:
    answer = told(server.ask(b"POST " + url + b" HTTP/1.1\r\n\r\n"))
    assert answer.body["error"]["code"] == "invalid_host"
    assert "request-id" not in answer.headers


MESSAGE = b"POST /v1/messages HTTP/1.1\r\nHost: a\r\n"
HUGE = b"x" * 100_000


@pytest.mark.parametrize(
    ("sent", "status", "kind"),
    [
        (MESSAGE, 408, "timeout_error"),
        (MESSAGE + b"Content-Length: 3\r\n\r\nab", 408, "timeout_error"),
        (MESSAGE + b"X: " + HUGE, 431, "invalid_request_error"),
        (b"GET /v1/messages/" + HUGE, 414, "invalid_request_error"),
        (MESSAGE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "invalid_request_error"),
    ],
    ids=["head", "body", "headers", "url", "chunks"],
)
def test_each_of_them_has_anthropics_type(
    slow_server: Hosted, sent: bytes, status: int, kind: str
) -> None:
    answer = told(slow_server.ask(sent))
    assert (answer.status, answer.body["type"]) == (status, "error")
    assert answer.body["error"]["type"] == kind
    assert answer.body["request_id"] == answer.headers["request-id"]


async def test_a_body_that_does_not_come_is_told_of_once_and_counted_as_what_it_was(
    log: Lines,
) -> None:
    async with scripted_server(JARVIS_BODY_TIMEOUT_S="0.1") as target:
        log.lines.clear()
        port = target.client.base_url.port
        assert port is not None
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\n"
        half = b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        for path in (b"/v1/chat/completions", b"/v1/messages"):
            (answer,) = (await exchange(port, head % path + half)).responses
            assert (answer.status, answer.headers["x-request-id"]) == (408, "mine")
        shown = (await target.client.get("/metrics")).text
    lines = [line for line in log.lines if line.request_id == "mine"]
    assert [(line.facts["path"], line.facts["status"]) for line in lines] == [
        ("/v1/chat/completions", 408),
        ("/v1/messages", 408),
    ]
    assert {line.facts["error"] for line in lines} == {"request_timeout"}
    assert 'jarvis_rejected_requests_total{code="request_timeout"} 2.0' in shown
    assert "jarvis_expired_requests_total 2.0" in shown
    assert 'status="499"' not in shown
