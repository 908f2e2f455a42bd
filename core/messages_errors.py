"""Owns Anthropic's error body, by status, and where it is wanted instead of OpenAI's."""

import uuid
from typing import Any

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


def new_request_id() -> str:
    """By which a body names the request, and a header with it."""
    return f"req_{uuid.uuid4().hex}"


def error_body(status: int, message: str, request_id: str) -> dict[str, Any]:
    default = "invalid_request_error" if status < 500 else "api_error"
    error = {"type": _TYPES.get(status, default), "message": message}
    return {"type": "error", "error": error, "request_id": request_id}
