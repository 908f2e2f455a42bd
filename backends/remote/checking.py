"""Owns one look at a server: whether it answers, what it has, how busy it is.

Knows neither when servers are looked at, nor what follows of it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from backends.remote.server_metrics import ServerLoad, has_metrics, read_load
from backends.remote.server_models import ServerModels, read_models
from backends.remote.wire import EndpointCheck, Wire
from backends.upstream import WholeReply
from core.errors import UpstreamFailed
from core.upstreams import UpstreamKind

R = TypeVar("R")

_MODELS, _METRICS = "models", "/metrics"
# Reading more than this would be felt by streams that are under way.
_READ_IN_THREAD = 2**18
# The list of models, which requests may wait for, does not wait for what only informs.
_METRICS_LATER_S = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """`models` is None where the server gave no list. `latency_s`: until it had answered, None
    where it did not. `can_serve`: it answered, and took the key.
    """

    check: EndpointCheck
    models: ServerModels | None = None
    latency_s: float | None = None
    can_serve: bool = False


async def look_at(wire: Wire, kind: UpstreamKind) -> Look:
    """Raises nothing but what cancels it; takes no longer than the wire lets a document take."""
    load = asyncio.ensure_future(_load(wire, kind))
    try:
        started = time.monotonic()
        reply = await wire.get(_MODELS)
        latency_s = time.monotonic() - started
        await asyncio.wait([load], timeout=_METRICS_LATER_S)
        return await _look_of(reply, latency_s, load.result() if load.done() else ServerLoad())
    except UpstreamFailed as error:
        return Look(EndpointCheck(is_reachable=False, error=str(error)))
    finally:
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)


async def _look_of(reply: WholeReply, latency_s: float, load: ServerLoad) -> Look:
    error = _error_of(reply.status)
    models = None
    if reply.status == 200:
        try:
            models = await _off_loop(read_models, reply.body)
        except ValueError as problem:
            error = str(problem)
    is_reachable = reply.status < 500 and not 300 <= reply.status < 400
    check = EndpointCheck(
        is_reachable=is_reachable,
        error=error,
        num_running=load.num_running,
        num_waiting=load.num_waiting,
        kv_cache_usage=load.kv_cache_usage,
    )
    can_serve = is_reachable and reply.status not in (401, 403)
    return Look(check, models, latency_s, can_serve)


def _error_of(status: int) -> str | None:
    if status == 200:
        return None
    if status in (401, 403):
        return f"it refuses the API key (status {status})"
    if 300 <= status < 400:
        return f"it points elsewhere (status {status}); give the URL that it points to"
    if status in (404, 405):
        return f"it has no list of models there (status {status}); the URL may lack /v1"
    return f"it answers with status {status}"


async def _load(wire: Wire, kind: UpstreamKind) -> ServerLoad:
    if not has_metrics(kind):
        return ServerLoad()
    try:
        reply = await wire.get(_METRICS)
    except UpstreamFailed:
        return ServerLoad()
    if reply.status != 200:
        return ServerLoad()
    return await _off_loop(lambda body: read_load(body, kind), reply.body)


async def _off_loop(read: Callable[[bytes], R], body: bytes) -> R:
    """Small bodies are read where they are."""
    return read(body) if len(body) <= _READ_IN_THREAD else await asyncio.to_thread(read, body)
