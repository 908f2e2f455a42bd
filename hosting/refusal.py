"""Owns the answers to what never becomes a request: the error body that all errors have, and a
connection that closes. Knows no application.
"""

import http
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import httptools

from core.messages_errors import REQUEST_ID_HEADER as MESSAGES_ID_HEADER
from core.messages_errors import error_body, is_messages_path, new_request_id
from core.request_scope import REQUEST_ID_HEADER

# Of a URL, enough to know its API by; offsets in longer ones overflow the parser.
_MAX_URL = 4096
_TYPES = {408: "timeout_error", 503: "service_unavailable"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why, over HTTP and in words."""

    status: int
    code: str
    message: str
    retry_after_s: int | None = None

    def written(self, usual: list[tuple[bytes, bytes]], path: str, request_id: str) -> bytes:
        """The whole answer, with a server's usual headers in it."""
        headers = {REQUEST_ID_HEADER: request_id, "content-type": "application/json"}
        if is_messages_path(path):
            headers[MESSAGES_ID_HEADER] = new_request_id()
            told = error_body(self.status, self.message, headers[MESSAGES_ID_HEADER])
        else:
            told = self._body()
        body = json.dumps(told).encode()
        headers["content-length"] = str(len(body))
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        lines = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}".encode()]
        lines += [name + b": " + value for name, value in usual]
        lines += [f"{name}: {value}".encode() for name, value in headers.items()]
        return b"\r\n".join((*lines, b"connection: close", b"", body))

    def _body(self) -> dict[str, Any]:
        """OpenAI's."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return {"error": error}


class Refused(Exception):
    """Carries a refusal through the parser, which calls back."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


INVALID = Refusal(400, "invalid_http", "the request is not valid HTTP/1.1")
HOSTS = Refusal(400, "invalid_host", "a request has one Host header; this one has none or several")
TUNNEL = Refusal(400, "invalid_http", "CONNECT is not served here")
PIPELINED = Refusal(400, "too_many_pipelined", "too many requests were sent ahead of their answers")
SLOW_HEAD = Refusal(408, "request_timeout", "the request's head did not come in time")
SLOW_BODY = Refusal(408, "request_timeout", "the request's body did not come in time")
FULL = Refusal(503, "too_many_connections", "there are too many connections; try again later", 5)


def long_url(limit: int) -> Refusal:
    return Refusal(414, "url_too_long", f"the URL is longer than {limit} bytes, the most it may be")


def large_head(limit: int) -> Refusal:
    return Refusal(431, "header_too_large", f"the headers are larger than {limit} bytes together")


def many_headers(limit: int) -> Refusal:
    return Refusal(431, "header_too_large", f"there are more than {limit} headers")


def path_of(url: bytes) -> str:
    """As the application would have seen it. Empty where that can't be told: the URL may be a part
    of one, or none at all.
    """
    try:
        path = httptools.parse_url(url[:_MAX_URL]).path
    except httptools.HttpParserInvalidURLError:
        return ""
    return unquote((path or b"").decode("ascii", "replace"))
