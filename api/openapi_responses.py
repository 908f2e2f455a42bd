"""Owns what /openapi.json says of answers: what a route gives, all that it may refuse with, and
which keys open it.
"""

from typing import Any

from core.messages_errors import is_messages_path

_OPENAI_ERROR, _ANTHROPIC_ERROR = "Error", "MessagesError"
_TEXT: dict[str, Any] = {"type": "string"}
_NAMED: dict[str, Any] = {"type": ["string", "null"]}
ERROR_SCHEMAS: dict[str, Any] = {
    _OPENAI_ERROR: {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code"],
                "properties": {"message": _TEXT, "type": _TEXT, "param": _NAMED, "code": _NAMED},
                "additionalProperties": False,
            }
        },
    },
    _ANTHROPIC_ERROR: {
        "type": "object",
        "required": ["type", "error", "request_id"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {"type": _TEXT, "message": _TEXT},
                "additionalProperties": False,
            },
            "request_id": _TEXT,
        },
    },
}
_REFUSALS = {
    "400": "The request can't be served as it was sent.",
    "404": "There is no such model, response or path.",
    "405": "The path has other methods.",
    "408": "The request's time was over, or it came too slowly.",
    "413": "The body is too large.",
    "414": "The URL is too long.",
    "415": "The body is not declared as JSON.",
    "421": "The Host header is none of this server's names.",
    "429": "Too much at once: Retry-After says when to come back.",
    "431": "The headers are too large.",
    "500": "The server or its engine failed.",
    "502": "Another server that was to answer did not.",
    "503": "The engine is not ready, or the server stops: Retry-After says when to come back.",
    "504": "Another server that was to answer took too long.",
}
_KEY_REFUSALS = {
    "401": "There is no key, or none that is known.",
    "403": "The key does not allow this.",
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_OPEN_PATHS = ("/health", "/health/ready")
_STREAMING_PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/messages",
    "/v1/responses",
)


def describe_responses(document: dict[str, Any], *, needs_key: bool) -> None:
    """Puts them into every operation."""
    if needs_key:
        document["components"]["securitySchemes"] = _SCHEMES
        document["security"] = [{name: []} for name in _SCHEMES]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            is_open = path in _OPEN_PATHS
            operation["responses"] = _responses(path, needs_key=needs_key and not is_open)
            if needs_key and is_open:
                operation["security"] = []


def _responses(path: str, *, needs_key: bool) -> dict[str, Any]:
    refusals = {**_REFUSALS, **(_KEY_REFUSALS if needs_key else {})}
    if path == "/health/ready":
        # It tells its state, whichever it is.
        refusals.pop("503")
        state = {"description": "Not ready, and why.", "content": {"application/json": {}}}
        refused = {status: _refusal(path, words) for status, words in refusals.items()}
        return {"200": _done(path), "503": state, **refused}
    refused = {status: _refusal(path, words) for status, words in refusals.items()}
    return {"200": _done(path), **dict(sorted(refused.items()))}


def _done(path: str) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {}}
    if path in _STREAMING_PATHS:
        content["text/event-stream"] = {}
    if path == "/metrics":
        content = {"text/plain": {}, "application/openmetrics-text": {}}
    return {"description": "What was asked for.", "content": content}


def _refusal(path: str, words: str) -> dict[str, Any]:
    name = _ANTHROPIC_ERROR if is_messages_path(path) else _OPENAI_ERROR
    reference = {"$ref": f"#/components/schemas/{name}"}
    return {"description": words, "content": {"application/json": {"schema": reference}}}
