"""POST /v1/embeddings: a vector for each text."""

import base64
from typing import Any

import msgspec
import numpy as np
from fastapi import APIRouter, Request, Response

from api.embedding_calls import EmbeddingCall, embedding_for, usage_of
from api.ignored import ignored_header
from api.local_model import embedding_names
from api.openapi import body_schema
from api.reading import read_body
from api.remote.routing import Passage, routed
from api.schemas.embeddings import EmbeddingRequest, read_embedding
from api.schemas.validation import UnknownFields
from serving.embedding import Embeddings

router = APIRouter()

_PASSAGE = Passage("embeddings", is_vectors=True)


@router.post("/v1/embeddings", openapi_extra=body_schema(EmbeddingRequest))
async def create_embeddings(request: Request) -> Response:
    """Each input's vector, in the order of the inputs, as numbers or as base64."""
    return await routed(
        request, Passage("embeddings", is_vectors=True), embedding_names(request), _embed
    )


async def _embed(request: Request) -> Response:
    unknown = UnknownFields(are_refused=request.app.state.refuses_unknown_fields)
    body = await read_body(request, lambda given: read_embedding(given, unknown))
    served = embedding_for(request, body.model)
    call = EmbeddingCall(request, len(body.input))

    def answer_body(found: Embeddings) -> dict[str, Any]:
        vectors = _written(found, is_base64=body.encoding_format == "base64")
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(vectors)
            ],
            "model": served.names.model_id,
            "usage": usage_of(found),
        }

    work = served.service.embed(
        call.id, body.input, body.dimensions, call.count, account=call.account
    )
    return await call.answer(work, answer_body, ignored_header(unknown))


def _written(found: Embeddings, *, is_base64: bool) -> list[Any]:
    """The same float32 numbers in either format. JSON is written vector by vector: millions of
    numbers in one go would hold up every stream, from whichever thread.
    """
    rows = found.rows.astype("<f4")
    if is_base64:
        return [base64.b64encode(row.tobytes()).decode() for row in rows]
    return [msgspec.Raw(msgspec.json.encode(row.astype(np.float64).tolist())) for row in rows]
