"""Owns the answers to what never becomes a request: OpenAI's error body, and a connection that
closes. Knows no application.
"""

import http
import json
from dataclasses import dataclass

_TYPES = {408: "timeout_error", 503: "service_unavailable"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why, over HTTP and in words."""

    status: int
    code: str
    message: str
    retry_after_s: int | None = None

    def written(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The whole answer, with a server's usual headers in it."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        body = json.dumps({"error": error}).encode()
        lines = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}".encode()]
        lines += [name + b": " + value for name, value in headers]
        lines += [b"content-type: application/json", b"content-length: %d" % len(body)]
        if self.retry_after_s is not None:
            lines.append(b"retry-after: %d" % self.retry_after_s)
        return b"\r\n".join((*lines, b"connection: close", b"", body))


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
