"""GET /health, /health/ready and /v1/models: what runs here, and in which state it is."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.json_response import JsonResponse
from api.served_names import ServedNames
from core.errors import ModelNotServed
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
    """200 when requests are answered, else 503 with the state and how far loading is."""
    service: GenerationService = request.app.state.service
    status = service.status
    if status.state is EngineState.READY:
        return JsonResponse(_state(status))
    return JsonResponse(_state(status), 503, headers={"retry-after": str(_RETRY_AFTER_S)})


@router.get("/v1/models")
async def list_models(request: Request) -> Response:
    """The served model and its aliases."""
    names: ServedNames = request.app.state.names
    models = [_model(request, name) for name in names.listed]
    return JsonResponse({"object": "list", "data": models})


@router.get("/v1/models/{model_id:path}")
async def get_model(request: Request, model_id: str) -> Response:
    """One of the names that are listed."""
    names: ServedNames = request.app.state.names
    if not model_id:
        raise ModelNotServed("the path names no model", param="model")
    names.check(model_id)
    return JsonResponse(_model(request, model_id))


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
