"""Owns the one table from error classes to HTTP, and the body that every error has: OpenAI's, or
Anthropic's where the path is of its API.

Only messages of our own errors are shown: those of other libraries could tell of the inside.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from api.json_response import JsonResponse
from api.messages.request_ids import request_id_of
from api.remote.attempts import ATTEMPTS_HEADER, UPSTREAM_HEADER, attempts_of, header_text
from api.remote.error_bodies import (
    failed_body,
    failed_message,
    failure_headers,
    named_body,
    status_of,
)
from core import messages_errors
from core.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    EngineFailed,
    EngineUnavailable,
    HostRefused,
    InvalidConversation,
    InvalidValue,
    JarvisError,
    KeyRequired,
    LimitReached,
    ModelNotServed,
    NotAllowed,
    PreviousResponseNotFound,
    QueueFull,
    RequestError,
    RequestTooLarge,
    ResponseNotFound,
    ServerStopping,
    TooManyRequests,
    UnsupportedField,
    UnsupportedMediaType,
    UpstreamFailed,
    UpstreamRefused,
)

logger = logging.getLogger(__name__)

_RETRY_AFTER_S = 5
_REQUEST, _SERVER, _UNAVAILABLE = "invalid_request_error", "server_error", "service_unavailable"


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """How one class of error is told over HTTP."""

    status: int
    type: str
    code: str | None


_KINDS: dict[type[JarvisError], ErrorKind] = {
    ModelNotServed: ErrorKind(404, _REQUEST, "model_not_found"),
    PreviousResponseNotFound: ErrorKind(404, _REQUEST, "previous_response_not_found"),
    ResponseNotFound: ErrorKind(404, _REQUEST, "response_not_found"),
    ContextLengthExceeded: ErrorKind(400, _REQUEST, "context_length_exceeded"),
    UnsupportedField: ErrorKind(400, _REQUEST, "unsupported_field"),
    InvalidConversation: ErrorKind(400, _REQUEST, "invalid_conversation"),
    InvalidValue: ErrorKind(400, _REQUEST, "invalid_value"),
    RequestTooLarge: ErrorKind(413, _REQUEST, "request_too_large"),
    UnsupportedMediaType: ErrorKind(415, _REQUEST, "unsupported_media_type"),
    KeyRequired: ErrorKind(401, "authentication_error", "invalid_api_key"),
    NotAllowed: ErrorKind(403, "permission_error", "not_allowed"),
    HostRefused: ErrorKind(421, _REQUEST, "host_refused"),
    RequestError: ErrorKind(400, _REQUEST, None),
    LimitReached: ErrorKind(429, "rate_limit_error", "rate_limit_exceeded"),
    QueueFull: ErrorKind(429, "rate_limit_error", "queue_full"),
    TooManyRequests: ErrorKind(429, "rate_limit_error", "too_many_requests"),
    DeadlineExceeded: ErrorKind(408, "timeout_error", "deadline_exceeded"),
    ServerStopping: ErrorKind(503, _UNAVAILABLE, "server_stopping"),
    EngineUnavailable: ErrorKind(503, _UNAVAILABLE, "engine_unavailable"),
    EngineFailed: ErrorKind(500, _SERVER, "engine_failed"),
    UpstreamFailed: ErrorKind(502, _SERVER, "upstream_failed"),
    JarvisError: ErrorKind(500, _SERVER, "internal_error"),
}
_HTTP_KINDS = {
    404: ErrorKind(404, _REQUEST, "not_found"),
    405: ErrorKind(405, _REQUEST, "method_not_allowed"),
}
_INTERNAL = ErrorKind(500, _SERVER, "internal_error")


def kind_of(error: JarvisError) -> ErrorKind:
    """The row of the nearest class in the tree."""
    return next(_KINDS[base] for base in type(error).__mro__ if base in _KINDS)


def error_body(kind: ErrorKind, message: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error body."""
    error = {"message": message, "type": kind.type, "param": param, "code": kind.code}
    return {"error": error}


def message_of(error: JarvisError) -> str:
    """In a sentence, for APIs with error bodies of their own."""
    return failed_message(error) if isinstance(error, UpstreamFailed) else str(error)


def body_of(error: JarvisError) -> dict[str, Any]:
    if isinstance(error, UpstreamFailed):
        return failed_body(error)
    if isinstance(error, UpstreamRefused):
        return named_body(error.upstream, error.body)
    param = error.param if isinstance(error, RequestError) else None
    return error_body(kind_of(error), str(error), param)


def response_to(request: Request, error: JarvisError) -> Response:
    kind = kind_of(error)
    headers = {"retry-after": str(_RETRY_AFTER_S)} if kind.status == 503 else {}
    if isinstance(error, TooManyRequests):
        headers = {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}
    if isinstance(error, KeyRequired):
        headers = {"www-authenticate": "Bearer"}
    if isinstance(error, UpstreamFailed):
        kind = replace(kind, status=status_of(error.failure))
        headers = failure_headers(error.failure)
    if isinstance(error, UpstreamRefused):
        kind = replace(kind, status=error.status)
        headers = {UPSTREAM_HEADER: header_text(error.upstream)}
    return _response(request, _Told(kind, message_of(error), body_of(error)), headers)


def install(app: FastAPI) -> None:
    """Every way a request can fail ends in the one body."""
    app.add_exception_handler(JarvisError, _on_our_error)
    app.add_exception_handler(HTTPException, _on_http_error)


@dataclass(frozen=True, slots=True)
class _Told:
    """An error in words, and as OpenAI's API has it."""

    kind: ErrorKind
    message: str
    body: dict[str, Any]


def _response(request: Request, told: _Told, headers: Mapping[str, str]) -> Response:
    status = told.kind.status
    request.scope.setdefault("state", {})["error_code"] = told.kind.code or told.kind.type
    if attempts := attempts_of(request):
        headers = {**headers, ATTEMPTS_HEADER: attempts}
    if not messages_errors.is_messages_path(request.scope["path"]):
        return JsonResponse(told.body, status, headers=headers)
    request_id = request_id_of(request)
    headers = {**headers, messages_errors.REQUEST_ID_HEADER: request_id}
    body = messages_errors.error_body(status, told.message, request_id)
    return JsonResponse(body, status, headers=headers)


async def _on_our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, JarvisError)
    return response_to(request, error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _HTTP_KINDS.get(error.status_code, ErrorKind(error.status_code, _REQUEST, None))
    message = f"there is no {request.method} {request.scope['path'][:200]} here"
    told = _Told(kind, message, error_body(kind, message))
    return _response(request, told, error.headers or {})


def on_foreign_error(request: Request, error: Exception) -> Response:
    """Of what was never to be raised. The log has the details."""
    logger.error("path=%r error=%s", request.scope["path"], type(error).__name__, exc_info=error)
    message = "the server met an internal error"
    return _response(request, _Told(_INTERNAL, message, error_body(_INTERNAL, message)), {})
