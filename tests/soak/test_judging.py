"""Which answers are right for which requests."""

import pytest

from soak.ask import Ask, Form
from soak.exchange import Ended, Reply
from soak.judging import fault_of, label_of
from soak.stream_check import StreamCheck

ASK = Ask("test", "/chat", b"{}")
REFUSED = Ask("test", "/chat", b"{}", expected=frozenset({400}))
ERROR = b'{"error": {"message": "no"}}'


def whole(status: int, body: bytes = b"{}", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, body=bytearray(body), ended=Ended.WHOLE, headers=named)


def streamed(*events: bytes) -> Reply:
    check = StreamCheck(Form.CHAT)
    for event in events:
        check.take(event)
    return Reply(check, 200, ended=Ended.WHOLE)


@pytest.mark.parametrize(
    ("ask", "reply"),
    [
        (ASK, whole(200)),
        (REFUSED, whole(400, ERROR)),
        (ASK, whole(429, ERROR, retry_after="2")),
        (ASK, Reply(ended=Ended.ABORTED)),
        (Ask("test", "/", may_be_dropped=True), Reply(ended=Ended.DROPPED)),
        (Ask("test", "/metrics"), whole(200, b"# HELP")),
        (
            Ask("test", "/", may_expire=True),
            streamed(b'{"error": {"code": "deadline_exceeded"}}'),
        ),
    ],
)
def test_what_is_right(ask: Ask, reply: Reply) -> None:
    assert fault_of(ask, reply) is None


@pytest.mark.parametrize(
    ("ask", "reply", "fault"),
    [
        (ASK, whole(500, ERROR), "status 500"),
        (ASK, whole(400, ERROR), "status 400"),
        (REFUSED, whole(200), "status 200"),
        (REFUSED, whole(400, b"{}"), "with the body"),
        (ASK, whole(200, ERROR), "with the body"),
        (ASK, whole(200, b"<html>"), "no JSON"),
        (ASK, whole(429, ERROR), "no Retry-After"),
        (ASK, whole(429, ERROR, retry_after="soon"), "no Retry-After"),
        (ASK, Reply(ended=Ended.DROPPED, detail="reset"), "reset"),
        (ASK, streamed(b'{"error": {"code": "deadline_exceeded"}}'), "with the error"),
        (ASK, streamed(), "no end"),
        (
            Ask("test", "/", may_expire=True),
            streamed(b'{"error": {"code": "engine_failed"}}'),
            "with the error engine_failed",
        ),
    ],
)
def test_what_is_wrong(ask: Ask, reply: Reply, fault: str) -> None:
    assert fault in (fault_of(ask, reply) or "")


def test_what_an_answer_is_counted_as() -> None:
    assert label_of(whole(413)) == "413"
    assert label_of(Reply(ended=Ended.ABORTED)) == "aborted"
    assert label_of(streamed(b'{"error": {"code": "late"}}')) == "error event late"
