"""Owns what /openapi.json says of bodies that are read by hand, for their limits and errors."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from api.openapi_responses import ERROR_SCHEMAS, describe_responses
from api.schemas.chat import ChatRequest
from api.schemas.completions import CompletionRequest
from api.schemas.embeddings import EmbeddingRequest
from api.schemas.messages import CountTokensRequest, MessagesRequest
from api.schemas.rerank import RerankRequest, ScoreRequest
from api.schemas.responses.request import ResponseRequest
from api.schemas.tokenization import DetokenizeRequest, TokenizeRequest

_BODIES: tuple[type[BaseModel], ...] = (
    ChatRequest,
    CompletionRequest,
    ResponseRequest,
    EmbeddingRequest,
    RerankRequest,
    ScoreRequest,
    MessagesRequest,
    CountTokensRequest,
    TokenizeRequest,
    DetokenizeRequest,
)
_REFERENCE = "#/components/schemas/{model}"


def body_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """For a route's `openapi_extra`: its body is this schema's JSON."""
    reference = {"$ref": _REFERENCE.format(model=schema.__name__)}
    content = {"application/json": {"schema": reference}}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document with the bodies' schemas among its components, and all that any route
    may answer.
    """
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for schema in _BODIES:
            found = schema.model_json_schema(ref_template=_REFERENCE)
            schemas.update(found.pop("$defs", {}))
            schemas[schema.__name__] = found
        schemas.update(ERROR_SCHEMAS)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        describe_responses(document, needs_key=not app.state.access.is_open)
        app.openapi_schema = document
    return app.openapi_schema
