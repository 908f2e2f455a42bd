"""Owns Anthropic's error body, by status, and the id by which a request is named in it."""

import uuid
from typing import Any

from starlette.requests import Request

REQUEST_ID_HEADER = "request-id"
_PATH = "/v1/messages"
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def is_messages_path(path: str) -> bool:
    """Whether errors are told in Anthropic's words there."""
    return path == _PATH or path.startswith(f"{_PATH}/")


def request_id_of(request: Request) -> str:
    """The same one as often as it is asked for."""
    state = request.state
    if not hasattr(state, "messages_request_id"):
        state.messages_request_id = f"req_{uuid.uuid4().hex}"
    return str(state.messages_request_id)


def error_body(status: int, message: str, request_id: str) -> dict[str, Any]:
    default = "invalid_request_error" if status < 500 else "api_error"
    error = {"type": _TYPES.get(status, default), "message": message}
    return {"type": "error", "error": error, "request_id": request_id}
