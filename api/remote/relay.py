"""Owns how another server's reply goes out: its bytes as they came, and who sent them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.disconnect import while_connected
from api.errors import body_of
from api.event_stream import EventStreamResponse
from api.json_response import JsonResponse
from api.remote.attempts import UPSTREAM_HEADER, header_text
from api.remote.error_bodies import named_body
from api.remote.pass_watch import PassWatch
from api.request_watch import outcome_of
from api.visit import visit_of
from backends.upstream import StreamedReply, UpstreamReply, WholeReply
from core.errors import JarvisError
from core.observation import Outcome

_FIRST_ERROR_STATUS = 400


async def reply_for(request: Request, sending: Awaitable[UpstreamReply]) -> UpstreamReply:
    """The reply, which the caller owns from then on. Raises ClientGone, and what `sending` does."""
    taken: list[UpstreamReply] = []

    async def take() -> UpstreamReply:
        taken.append(await sending)
        return taken[0]

    try:
        return await while_connected(request, take())
    except BaseException:
        # It may have come at the moment at which this was cancelled.
        for reply in taken:
            if isinstance(reply, StreamedReply):
                _close(reply, request.app.state.running)
        raise


def response_to_reply(
    request: Request, reply: UpstreamReply, watch: PassWatch, headers: Mapping[str, str]
) -> Response:
    """Of a stream, the response owns the reply from here on."""
    headers = {**headers, UPSTREAM_HEADER: header_text(reply.upstream)}
    if isinstance(reply, StreamedReply):
        relay = _Relay(reply, watch, request)
        return EventStreamResponse(relay.frames(), relay.end, headers, is_ready=True)
    # What the server refused is no answer, and no failure: the status tells it.
    if reply.status < _FIRST_ERROR_STATUS:
        watch.see(reply.body)
        watch.end(reply.upstream, Outcome.DONE)
    return _whole(reply, headers)


def _whole(reply: WholeReply, headers: Mapping[str, str]) -> Response:
    """What is no JSON is not shown as what it claims to be."""
    if reply.status >= _FIRST_ERROR_STATUS:
        return JsonResponse(named_body(reply.upstream, reply.body), reply.status, headers=headers)
    return Response(reply.body, reply.status, media_type="application/json", headers=headers)


class _Relay:
    """One stream under way."""

    def __init__(self, reply: StreamedReply, watch: PassWatch, request: Request) -> None:
        self._reply = reply
        self._watch = watch
        # Holds the task that ends the request at the server until it is done.
        self._running: set[asyncio.Task[None]] = request.app.state.running
        self._cutoff = visit_of(request).cutoff
        self._is_over = False

    async def frames(self) -> AsyncIterator[bytes]:
        outcome = Outcome.GONE
        try:
            while (piece := await self._next()) is not None:
                self._watch.see(piece)
                yield piece
            outcome = Outcome.DONE
        except JarvisError as error:
            outcome = outcome_of(error)
            yield b"event: error\ndata: %b\n\n" % msgspec.json.encode(body_of(error))
        finally:
            self.end(outcome)

    async def _next(self) -> bytes | None:
        """None after the last piece. Raises what ends the stream, also from outside."""
        with self._cutoff.interrupting():
            return await anext(self._reply.events, None)

    def end(self, outcome: str) -> None:
        """Needs no await, so that it works while being cancelled. The first outcome counts."""
        if self._is_over:
            return
        self._is_over = True
        self._watch.end(self._reply.upstream, Outcome(outcome))
        _close(self._reply, self._running)


def _close(reply: StreamedReply, running: set[asyncio.Task[None]]) -> None:
    closing = asyncio.ensure_future(reply.events.aclose())
    running.add(closing)
    closing.add_done_callback(running.discard)
