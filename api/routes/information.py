"""GET /health, /health/ready and /v1/models: what runs here, and in which state it is."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.embedding_calls import ServedEmbedding
from api.json_response import JsonResponse
from api.served_names import ServedNames
from core.errors import EngineUnavailable, ModelNotServed
from core.lifecycle import EngineState, EngineStatus
from serving.service import GenerationService

router = APIRouter()

_RETRY_AFTER_S = 5


@router.get("/health")
async def health() -> Response:
    """The process answers: always 200."""
    return JsonResponse({"status": "ok"})


@router.get("/health/ready")
async def ready(request: Request) -> Response:
    """200 when chats are answered, else 503 with the state and how far loading is.

    An embedding model, where one is wanted, is told of under `embedding`. Its state changes no
    status: chats are answered without it.
    """
    service: GenerationService = request.app.state.service
    embedding: ServedEmbedding | None = request.app.state.embedding
    status = service.status
    body = _state(status)
    if embedding is not None:
        body["embedding"] = _state(embedding.service.status)
    if status.state is EngineState.READY:
        return JsonResponse(body)
    return JsonResponse(body, 503, headers={"retry-after": str(_RETRY_AFTER_S)})


@router.get("/v1/models")
async def list_models(request: Request) -> Response:
    """The served models and their aliases."""
    return JsonResponse({"object": "list", "data": list(_models(request).values())})


@router.get("/v1/models/{model_id:path}")
async def get_model(request: Request, model_id: str) -> Response:
    """One of the names that are listed, or any that the chat model goes by."""
    names: ServedNames = request.app.state.names
    if not model_id:
        raise ModelNotServed("the path names no model", param="model")
    models = _models(request)
    if model_id not in models:
        _check_any(request, model_id)
        return JsonResponse({**models[names.model_id], "id": model_id})
    return JsonResponse(models[model_id])


def _check_any(request: Request, model_id: str) -> None:
    """Raises ModelNotServed, naming all there are, unless the chat model takes any name."""
    names: ServedNames = request.app.state.names
    ServedNames(names.model_id, (*names.aliases, *_embedding_names(request))).check(model_id)


def _models(request: Request) -> dict[str, dict[str, Any]]:
    """By name. One that both models have is the chat model's."""
    names: ServedNames = request.app.state.names
    of_chat, of_embedding = _chat_facts(request), _embedding_facts(request)
    models = {name: _model(request, name) | of_embedding for name in _embedding_names(request)}
    return {name: _model(request, name) | of_chat for name in names.listed} | {
        name: model for name, model in models.items() if name not in names.listed
    }


def _embedding_names(request: Request) -> tuple[str, ...]:
    embedding: ServedEmbedding | None = request.app.state.embedding
    return () if embedding is None else embedding.names.listed


def _chat_facts(request: Request) -> dict[str, Any]:
    """None before the model is loaded."""
    service: GenerationService = request.app.state.service
    try:
        facts = service.facts
        window, num_ids = facts.card.context_window, len(facts.card.vocabulary)
    except EngineUnavailable:
        return {}
    return {
        **_lengths(window, {"n_vocab": num_ids}),
        "chat_format": facts.chat_format.name,
        "capabilities": ["chat", "completion"],
    }


def _embedding_facts(request: Request) -> dict[str, Any]:
    embedding: ServedEmbedding | None = request.app.state.embedding
    if embedding is None:
        return {}
    try:
        card = embedding.service.card
    except EngineUnavailable:
        return {}
    sizes, kinds = {"n_vocab": card.vocabulary_size}, ["rerank", "score"]
    if not card.ranks_pairs:
        sizes, kinds = {**sizes, "n_embd": card.num_dimensions}, ["embedding", *kinds]
    return {**_lengths(card.context_window, sizes), "capabilities": kinds}


def _lengths(context_window: int, sizes: dict[str, int]) -> dict[str, Any]:
    """By the names that vLLM and llama-server have for them."""
    return {"max_model_len": context_window, "meta": {"n_ctx": context_window, **sizes}}


def _state(status: EngineStatus) -> dict[str, Any]:
    progress = status.progress
    return {
        "state": status.state,
        "engine": status.engine,
        "progress": None
        if progress is None
        else {"step": progress.step, "fraction": progress.fraction},
        "reason": status.reason,
    }


def _model(request: Request, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": request.app.state.created,
        "owned_by": "jarvis-llm-proxy",
    }
