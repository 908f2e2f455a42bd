"""GET /v1/upstreams: the other servers that answer beside this one, and how they do."""

from fastapi import APIRouter, Request, Response

from api.json_response import JsonResponse
from api.remote.routing import router_of
from api.remote.shown import shown_upstreams

router = APIRouter()


@router.get("/v1/upstreams")
async def list_upstreams(request: Request) -> Response:
    """Each with its state, breaker, latency, models, and what it tells of its queue and cache."""
    models = router_of(request)
    data = [] if models is None else shown_upstreams(models.host.states())
    return JsonResponse({"object": "list", "data": data})
