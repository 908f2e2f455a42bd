"""GET /health, /health/ready and /v1/models: what runs here, and in which state it is."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.access.ceilings import names_shown
from api.claims import check_allowed
from api.embedding_calls import ServedEmbedding
from api.json_response import JsonResponse
from api.local_model import local_names, local_service
from api.remote.routing import router_of
from api.remote.shown import remote_status, shown_models, shown_upstreams
from api.served_names import ServedNames
from api.traffic import Traffic
from api.visit import account_of
from backends.upstream import Place, RemoteModel, UpstreamHost, UpstreamState
from core.errors import EngineUnavailable, ModelNotServed
from core.lifecycle import EngineState, EngineStatus
from serving.service import GenerationService

router = APIRouter()

_RETRY_AFTER_S = 5


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health() -> Response:
    """The process answers: always 200."""
    return JsonResponse({"status": "ok"})


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready")
async def ready(request: Request) -> Response:
    """200 when chats are answered, else 503 with the state and how far loading is.

    An embedding model, where one is wanted, is told of under `embedding`, and upstreams under
    `upstreams`. Their states change no status where an engine is here, which answers without them.
    """
    service: GenerationService | None = request.app.state.service
    embedding: ServedEmbedding | None = request.app.state.embedding
    states = _upstream_states(request)
    status = remote_status(states) if service is None else service.status
    body = _state(status)
    if embedding is not None:
        body["embedding"] = _state(embedding.service.status)
    if states:
        is_open = request.app.state.access.is_open
        body["upstreams"] = shown_upstreams(states) if is_open else _usable(states)
    traffic: Traffic = request.app.state.traffic
    if traffic.is_stopping and status.state is EngineState.READY:
        body["state"] = EngineState.DRAINING
        return JsonResponse(body, 503, headers={"retry-after": str(_RETRY_AFTER_S)})
    if status.state is EngineState.READY:
        return JsonResponse(body)
    return JsonResponse(body, 503, headers={"retry-after": str(_RETRY_AFTER_S)})


@router.get("/v1/models")
async def list_models(request: Request) -> Response:
    """The served models and their aliases, then those of upstreams."""
    return JsonResponse(
        {"object": "list", "data": list(_shown(request, _models(request)).values())}
    )


@router.get("/v1/models/{model_id:path}")
async def get_model(request: Request, model_id: str) -> Response:
    """One of the names that are listed, or any that a model goes by."""
    if not model_id:
        raise ModelNotServed("the path names no model", param="model")
    models = _models(request)
    check_allowed(request, model_id)
    if model_id in models:
        return JsonResponse(models[model_id])
    router = router_of(request)
    if router is not None and (places := await router.host.find(model_id)):
        return JsonResponse(_model_at(request, router.host, model_id, places))
    _check_any(request, model_id)
    return JsonResponse({**models[local_names(request).model_id], "id": model_id})


def _model_at(
    request: Request, host: UpstreamHost, model_id: str, places: tuple[Place, ...]
) -> dict[str, Any]:
    """What is told of a model at the first of `places`, under the name it was asked for by. Raises
    ModelNotServed where the server's list is known and lacks it.
    """
    first = places[0]
    listed = next(state.models for state in host.states() if state.name == first.upstream)
    known = next((model for model in listed if first in model.places), None)
    if listed and known is None:
        raise ModelNotServed(
            f"the upstream {first.upstream} does not list the model {first.model[:200]!r}",
            param="model",
        )
    named = RemoteModel(model_id, places, {} if known is None else known.facts)
    return shown_models((named,), request.app.state.created)[model_id]


def _check_any(request: Request, model_id: str) -> None:
    """Raises ModelNotServed, naming all there are, unless the chat model takes any name."""
    if request.app.state.service is None:
        raise ModelNotServed(
            f"the model {model_id[:200]!r} is not served; /v1/models lists those that are",
            param="model",
        )
    names = local_names(request)
    ServedNames(names.model_id, (*names.aliases, *_embedding_names(request))).check(model_id)


def _models(request: Request) -> dict[str, dict[str, Any]]:
    """By name. One that several models have is the first one's: chat, embedding, then upstreams."""
    of_embedding = _embedding_facts(request)
    models = _chat_models(request)
    for name in _embedding_names(request):
        models.setdefault(name, _model(request, name) | of_embedding)
    if (router := router_of(request)) is not None:
        elsewhere = shown_models(router.host.models(), request.app.state.created)
        models |= {name: each for name, each in elsewhere.items() if name not in models}
    return models


def _chat_models(request: Request) -> dict[str, dict[str, Any]]:
    if request.app.state.service is None:
        return {}
    facts = _chat_facts(request)
    return {name: _model(request, name) | facts for name in local_names(request).listed}


def _shown(request: Request, models: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those that the request's account may ask for."""
    names = names_shown(account_of(request), tuple(models))
    return {name: models[name] for name in names}


def _upstream_states(request: Request) -> tuple[UpstreamState, ...]:
    router = router_of(request)
    return () if router is None else router.host.states()


def _usable(states: tuple[UpstreamState, ...]) -> list[dict[str, Any]]:
    """What everybody may know where keys are needed."""
    return [{"name": state.name, "is_usable": state.is_usable} for state in states]


def _embedding_names(request: Request) -> tuple[str, ...]:
    embedding: ServedEmbedding | None = request.app.state.embedding
    return () if embedding is None else embedding.names.listed


def _chat_facts(request: Request) -> dict[str, Any]:
    """None before the model is loaded."""
    try:
        facts = local_service(request).facts
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
