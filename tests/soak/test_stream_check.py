"""When a stream has come to its one right end."""

import json
from typing import Any

import pytest

from soak.ask import Form
from soak.stream_check import StreamCheck


def chunk(text: str = "", end: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": end}
    return json.dumps({"choices": [choice]}).encode()


def typed(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


def checked(form: Form, *events: bytes) -> StreamCheck:
    check = StreamCheck(form)
    for event in events:
        check.take(event)
    return check


def test_a_chat_ends_with_each_choice_once_and_then_done() -> None:
    check = checked(
        Form.CHAT, chunk("a"), chunk("b", index=1), chunk(end="stop"), chunk(end="length", index=1)
    )
    assert check.is_text_over
    assert not check.is_ended
    check.take(b"[DONE]")
    assert check.is_ended
    assert check.fault is None
    assert check.texts == {0: "a", 1: "b"}
    assert check.finish_reasons == {0: "stop", 1: "length"}


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ((chunk("a"), b"[DONE]"), "before every choice"),
        ((b"[DONE]",), "before every choice"),
        ((chunk(end="stop"), chunk(end="stop")), "ended twice"),
        ((chunk(end="stop"), b"[DONE]", chunk("more")), "after the end"),
        ((chunk(end="stop"), b"[DONE]", b"[DONE]"), "after the end"),
        ((b'{"choices": [',), "no JSON"),
    ],
)
def test_a_chat_that_ends_wrongly_has_a_fault(events: tuple[bytes, ...], fault: str) -> None:
    assert fault in (checked(Form.CHAT, *events).fault or "")


def test_a_stream_that_breaks_off_has_no_end() -> None:
    assert not checked(Form.CHAT, chunk("a"), chunk(end="stop")).is_ended


def test_other_apis_end_by_their_own_events() -> None:
    response = checked(
        Form.RESPONSES,
        typed("response.created", response={"error": None}),
        typed("response.output_text.delta", delta="a"),
        typed("response.output_text.done"),
    )
    assert response.is_text_over
    assert not response.is_ended
    response.take(typed("response.incomplete"))
    assert response.is_ended
    message = checked(Form.MESSAGES, typed("message_start"), typed("message_stop"))
    assert message.is_ended
    assert message.fault is None


@pytest.mark.parametrize(
    ("form", "event", "code"),
    [
        (Form.CHAT, b'{"error": {"code": "engine_failed", "type": "x"}}', "engine_failed"),
        (Form.MESSAGES, b'{"type": "error", "error": {"type": "api_error"}}', "api_error"),
        (
            Form.RESPONSES,
            b'{"type": "response.failed", "response": {"error": {"code": "server_error"}}}',
            "server_error",
        ),
    ],
)
def test_an_error_ends_a_stream_and_is_named(form: Form, event: bytes, code: str) -> None:
    check = checked(form, event)
    assert check.is_ended
    assert check.error_code == code
    check.take(event)
    assert check.fault == "an event came after the end"
