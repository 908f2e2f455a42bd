"""Owns reading a request's body: bounded while it comes, JSON only, an object at the top."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from api.claims import limit_time
from api.disconnect import ClientGone
from api.held_bodies import HeldBody
from api.json_shape import check_shape
from api.request_bounds import bounds_of, check_bounds
from api.schemas.validation import shown
from api.visit import visit_of
from core.errors import InvalidValue, RequestTooLarge, UnsupportedMediaType

# From so many on, work is done in a thread.
LARGE_BYTES = 64 * 1024

Read = TypeVar("Read")


async def read_body(request: Request, read: Callable[[dict[str, Any]], Read]) -> Read:
    """What `read` makes of the body. A large one is read in a thread: the event loop goes on.

    Raises UnsupportedMediaType, RequestTooLarge, QueueFull, InvalidValue, and what `read` does.
    """
    body, bounds = await read_json_bytes(request), bounds_of(request)
    times: dict[str, Any] = {}

    def parse() -> Read:
        given = parse_object(body)
        check_bounds(given, bounds, len(body))
        times["timeout"] = given.get("timeout")
        return read(given)

    made = parse() if len(body) < LARGE_BYTES else await asyncio.to_thread(parse)
    limit_time(request, times)
    return made


async def read_json_bytes(request: Request) -> bytes:
    """The body as it came, or as `request.state.body` has it, where it was read before.

    Raises UnsupportedMediaType, RequestTooLarge, QueueFull, ClientGone where it did not come whole,
    and what the request is cut off with.
    """
    read_before: bytes | None = getattr(request.state, "body", None)
    if read_before is not None:
        return read_before
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType(
            f"content-type is {media_type[:100]!r}; allowed is application/json"
        )
    with visit_of(request).cutoff.interrupting():
        return await _read(request, bounds_of(request).body_bytes)


def parse_object(body: bytes) -> dict[str, Any]:
    """Strict JSON: no NaN, no Infinity, UTF-8. Raises InvalidValue."""
    check_shape(body)
    try:
        parsed = decoded_quickly(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = "it nests too deep" if isinstance(error, RecursionError) else str(error)
        raise InvalidValue(f"the body is not valid JSON: {reason[:200]}") from error
    if not isinstance(parsed, dict):
        raise InvalidValue(f"the body must be a JSON object; it is {shown(parsed)}")
    return parsed


def decoded_quickly(body: bytes) -> Any:
    """JSON, without garbage collection, which looks at all that was made again and again: four
    million small lists took eight seconds with it, and one without.
    """
    if len(body) < LARGE_BYTES or not gc.isenabled():
        return msgspec.json.decode(body)
    gc.disable()
    try:
        return msgspec.json.decode(body)
    finally:
        gc.enable()


async def _read(request: Request, max_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "")
    num_declared = int(declared[:20]) if declared.isdecimal() else 0
    if num_declared > max_bytes:
        raise _too_large(max_bytes)
    held, body = HeldBody(request), bytearray()
    held.reach(num_declared)
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes)
            held.reach(len(body))
    except ClientDisconnect as error:
        raise ClientGone from error
    return bytes(body)


def _too_large(max_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"the body is larger than {max_bytes} bytes, the most that is read")
