"""GET /metrics: what Prometheus and routers ask for."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from api.metrics.metrics import Metrics

router = APIRouter()


@router.get("/metrics", response_class=PlainTextResponse)
async def show_metrics(request: Request) -> Response:
    """Counts, times and states in Prometheus' text format, or in OpenMetrics where it is asked for:
    by vLLM's names, and by others that begin with `jarvis_`.
    """
    metrics: Metrics = request.app.state.metrics
    body, content_type = metrics.exposition(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})
