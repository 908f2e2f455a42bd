"""Owns how the failure of another server is told: its own status and body, and its name.

Knows no request. What a server sends is untrusted: only JSON objects are shown as they are.
"""

import math
from typing import Any

import msgspec

from api.remote.attempts import UPSTREAM_HEADER, header_text
from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault

# What is larger is no error that anybody reads, and takes time to look through.
_MAX_BODY_BYTES = 1 << 20
_MAX_TEXT_CHARACTERS = 2000
_STATUSES = {
    UpstreamFault.CONNECTION: 502,
    UpstreamFault.BROKEN: 502,
    UpstreamFault.TIMEOUT: 504,
    UpstreamFault.UNAVAILABLE: 503,
}
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def status_of(failure: UpstreamFailure) -> int:
    """That of the server, where it is one that a client should see; a redirection is none."""
    if failure.status is not None and failure.status >= 400:
        return failure.status
    return _STATUSES.get(failure.fault, 502)


def failure_headers(failure: UpstreamFailure) -> dict[str, str]:
    """Who failed, and when to come again."""
    headers = {UPSTREAM_HEADER: header_text(failure.upstream)}
    if failure.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(failure.retry_after_s))
    return headers


def named_body(upstream: str, body: bytes) -> dict[str, Any]:
    """An error body as the server sent it, byte for byte but for the server's name in it."""
    found = _fields(body)
    if found is None:
        return error_body(upstream, _text(body) or "the server said nothing more")
    name = msgspec.Raw(msgspec.json.encode(upstream))
    error = _fields(bytes(found["error"])) if "error" in found else None
    if error is None:
        return found | {"upstream": name}
    return found | {"error": error | {"upstream": name}}


def failed_body(error: UpstreamFailed) -> dict[str, Any]:
    """What it sent, else what is known of it."""
    if has_said(error.failure):
        return named_body(error.failure.upstream, error.failure.body)
    return error_body(error.failure.upstream, str(error), error.failure.fault.name.lower())


def failed_message(error: UpstreamFailed) -> str:
    """For APIs whose errors are of another shape: in a sentence, with the server's own words."""
    said = said_in(error.failure.body) if has_said(error.failure) else None
    return str(error) if said is None else f"{error}: {said}"


def has_said(failure: UpstreamFailure) -> bool:
    """Whether there is a body that tells of the failure."""
    return failure.status is not None and failure.status >= 400 and bool(failure.body)


def said_in(body: bytes) -> str | None:
    """The message of an error body, wherever servers put it."""
    found = _fields(body) or {}
    for name in ("error", "message", "detail"):
        value = found.get(name)
        inner = None if value is None else _fields(bytes(value))
        if inner is not None:
            value = inner.get("message")
        if value is not None and bytes(value).startswith(b'"'):
            text: str = msgspec.json.decode(value)
            return text[:_MAX_TEXT_CHARACTERS]
    return None


def error_body(upstream: str, message: str, fault: str | None = None) -> dict[str, Any]:
    """OpenAI's error body."""
    code = None if fault is None else f"upstream_{fault}"
    error = {"message": message, "type": "upstream_error", "param": None, "code": code}
    return {"error": error | {"upstream": upstream}}


def _text(body: bytes) -> str:
    return body[: 4 * _MAX_TEXT_CHARACTERS].decode("utf-8", "replace")[:_MAX_TEXT_CHARACTERS]


def _fields(body: bytes) -> dict[str, Any] | None:
    """None for what is no JSON object, or too large to be looked at."""
    if len(body) > _MAX_BODY_BYTES:
        return None
    try:
        body.decode()
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
