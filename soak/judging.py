"""Owns whether an answer is one that its request may have. Sends nothing, counts nothing."""

import msgspec

from soak.ask import Ask
from soak.exchange import Ended, Reply

_SHOWN = 300
_TOO_MANY = 429
# What ends a request for its time, in each API's words.
EXPIRED = ("deadline_exceeded", "timeout", "timeout_error", "request_timeout")


def fault_of(ask: Ask, reply: Reply) -> str | None:
    """What is wrong, in a line; None where nothing is."""
    if reply.ended is Ended.ABORTED:
        return None
    if reply.ended is Ended.DROPPED:
        is_right = ask.may_be_dropped or ask.abort is not None
        return None if is_right else f"after status {reply.status}: {reply.detail}"
    if reply.status == _TOO_MANY:
        return None if _is_number(reply.headers.get("retry-after")) else "429 says no Retry-After"
    if reply.status not in ask.expected:
        return f"status {reply.status}: {_shown(reply)}"
    if reply.check is not None:
        return _fault_of_stream(ask, reply)
    return None if ask.path == "/metrics" else _fault_of_body(reply)


def label_of(reply: Reply) -> str:
    """What it is counted as."""
    if reply.ended is not Ended.WHOLE:
        return reply.ended.name.lower()
    if reply.check is not None and reply.check.error_code is not None:
        return f"error event {reply.check.error_code}"
    return str(reply.status)


def _fault_of_stream(ask: Ask, reply: Reply) -> str | None:
    check = reply.check
    assert check is not None
    if check.fault is not None:
        return check.fault
    if check.error_code is not None:
        is_right = ask.may_expire and check.error_code in EXPIRED
        return None if is_right else f"the stream ended with the error {check.error_code}"
    return None if check.is_ended else "the stream has no end"


def _fault_of_body(reply: Reply) -> str | None:
    try:
        body = msgspec.json.decode(reply.body)
    except msgspec.DecodeError as error:
        return f"the body of {reply.status} is no JSON: {error}"
    is_error = isinstance(body, dict) and bool(body.get("error"))
    if is_error != (reply.status >= 400):
        return f"status {reply.status} with the body {_shown(reply)}"
    return None


def _shown(reply: Reply) -> str:
    return bytes(reply.body[:_SHOWN]).decode(errors="replace")


def _is_number(text: str | None) -> bool:
    return text is not None and text.isdecimal()
