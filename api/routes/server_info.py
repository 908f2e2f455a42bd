"""GET /v1/server/info: what runs here, since when, and how busy it is."""

import time
from typing import Any

from fastapi import APIRouter, Request, Response

from api.json_response import JsonResponse
from api.remote.routing import router_of
from api.remote.shown import remote_status
from api.traffic import Traffic
from core.errors import EngineUnavailable
from core.version import VERSION
from serving.service import GenerationService

router = APIRouter()


@router.get("/v1/server/info")
async def show_server_info(request: Request) -> Response:
    """Null where nothing is known yet: before a model is loaded, or where none is held here."""
    state = request.app.state
    service: GenerationService | None = state.service
    remote = router_of(request)
    states = () if remote is None else remote.host.states()
    status = remote_status(states) if service is None else service.status
    traffic: Traffic = state.traffic
    return JsonResponse(
        {
            "version": VERSION,
            "uptime_s": round(time.monotonic() - state.started_at, 3),
            "state": status.state,
            "engine": status.engine,
            "engine_restarts": status.num_restarts,
            "model": None if service is None else state.names.model_id,
            **_model_facts(service),
            "active_requests": traffic.num_active,
            **_load(service),
        }
    )


def _model_facts(service: GenerationService | None) -> dict[str, Any]:
    try:
        card = None if service is None else service.card
    except EngineUnavailable:
        card = None
    return {
        "engine_build": None if card is None else card.engine_build,
        "max_model_len": None if card is None else card.context_window,
        "slots": None if card is None else card.num_slots,
    }


def _load(service: GenerationService | None) -> dict[str, Any]:
    if service is None:
        return {"running": None, "waiting": None, "queued": None, "kv_cache_usage": None}
    stats = service.stats
    return {
        "running": stats.num_running,
        "waiting": stats.num_waiting,
        "queued": service.turns.num_waiting,
        "kv_cache_usage": round(stats.kv_cache_usage, 4),
    }
