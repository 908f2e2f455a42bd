"""POST /v1/rerank and /v1/score: how relevant texts are to a text, or how alike two are."""

import time
from typing import Any

from fastapi import APIRouter, Request, Response

from api.embedding_calls import EmbeddingCall, embedding_for, usage_of
from api.ignored import ignored_header
from api.local_model import embedding_names
from api.openapi import body_schema
from api.reading import read_body
from api.remote.routing import Passage, routed
from api.schemas.rerank import RerankRequest, ScoreRequest, read_rerank, read_score
from api.schemas.validation import UnknownFields
from serving.embedding import Scores

router = APIRouter()

_RERANK = Passage("rerank", is_vectors=True)
_SCORE = Passage("score", is_vectors=True)


@router.post("/v1/rerank", openapi_extra=body_schema(RerankRequest))
async def rerank(request: Request) -> Response:
    """The documents by their relevance to the query, the best first."""
    return await routed(request, _RERANK, embedding_names(request), _rerank)


async def _rerank(request: Request) -> Response:
    unknown = _unknown_fields(request)
    body = await read_body(request, lambda given: read_rerank(given, unknown))
    served = embedding_for(request, body.model)
    call = EmbeddingCall(request, len(body.documents))

    def answer_body(scores: Scores) -> dict[str, Any]:
        return {
            "id": f"rerank-{call.id}",
            "model": served.names.model_id,
            "results": _results(body, scores),
            "usage": usage_of(scores),
        }

    work = served.service.compare(call.id, body.comparison, call.count, account=call.account)
    return await call.answer(work, answer_body, ignored_header(unknown))


@router.post("/v1/score", openapi_extra=body_schema(ScoreRequest))
async def score(request: Request) -> Response:
    """A score for each pair, in the order of text_2."""
    return await routed(request, _SCORE, embedding_names(request), _score)


async def _score(request: Request) -> Response:
    unknown = _unknown_fields(request)
    body = await read_body(request, lambda given: read_score(given, unknown))
    served = embedding_for(request, body.model)
    call = EmbeddingCall(request, len(body.text_2))

    def answer_body(scores: Scores) -> dict[str, Any]:
        return {
            "id": f"score-{call.id}",
            "object": "list",
            "created": int(time.time()),
            "model": served.names.model_id,
            "data": [
                {"index": index, "object": "score", "score": value}
                for index, value in enumerate(scores.values)
            ],
            "usage": usage_of(scores),
        }

    work = served.service.compare(call.id, body.comparison, call.count, account=call.account)
    return await call.answer(work, answer_body, ignored_header(unknown))


def _results(body: RerankRequest, scores: Scores) -> list[dict[str, Any]]:
    """Of equal ones, the first comes first."""
    order = sorted(range(len(scores.values)), key=lambda index: -scores.values[index])
    results: list[dict[str, Any]] = []
    for index in order[: body.num_results]:
        result: dict[str, Any] = {"index": index, "relevance_score": scores.values[index]}
        if body.return_documents is not False:
            result["document"] = {"text": body.documents[index]}
        results.append(result)
    return results


def _unknown_fields(request: Request) -> UnknownFields:
    return UnknownFields(are_refused=request.app.state.refuses_unknown_fields)
