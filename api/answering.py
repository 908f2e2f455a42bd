"""Owns how an accepted request is answered: as one body, or as server-sent events.

Both fold the same events. The response begins when the first event has come, so that an engine
that fails before is told by status; a failure after it is an `error` event, then the end.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.bodies import Answer, AnswerShape
from api.disconnect import ClientGone, while_connected
from api.errors import body_of
from api.json_response import JsonResponse
from api.pump import ChoiceEvent, EventPump
from api.request_log import RequestLog
from core.errors import JarvisError
from serving.service import Generation

PING_INTERVAL_S = 15
_STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
_DONE = b"data: [DONE]\n\n"
_CLIENT_CLOSED_REQUEST = 499


@dataclass(frozen=True, slots=True)
class AnswerStyle:
    """How the client wants the answer."""

    shape: AnswerShape
    model_id: str
    is_stream: bool
    includes_usage: bool


async def answer(
    request: Request, generations: Sequence[Generation], style: AnswerStyle
) -> Response:
    """Raises EngineUnavailable or EngineFailed where nothing was sent yet."""
    reply = _Reply(Answer(style.shape, style.model_id, len(generations)), EventPump(generations))
    try:
        if style.is_stream:
            return await reply.streamed(request, style)
        return await reply.plain(request)
    except ClientGone:
        reply.end("gone")
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    except BaseException:
        reply.end("failed")
        raise


class _Reply:
    """One answer under way, with the pump that feeds it."""

    def __init__(self, answer: Answer, pump: EventPump) -> None:
        self._answer = answer
        self._pump = pump
        self._log = RequestLog(answer.id)
        self._is_over = False

    def end(self, outcome: str) -> None:
        """Aborts what has not ended. The first outcome told is the one that is logged."""
        if self._is_over:
            return
        self._is_over = True
        self._pump.close()
        self._log.end(outcome)

    async def plain(self, request: Request) -> Response:
        await while_connected(request, self._collect())
        self.end("done")
        return JsonResponse(self._answer.whole())

    async def streamed(self, request: Request, style: AnswerStyle) -> Response:
        first = await while_connected(request, self._take())
        return _Stream(self._frames(first, style.includes_usage), self.end)

    async def _take(self) -> list[ChoiceEvent]:
        events = await self._pump.take()
        self._log.see(events)
        self._answer.add(events)
        return events

    async def _collect(self) -> None:
        while await self._take():
            pass

    async def _frames(self, first: list[ChoiceEvent], includes_usage: bool) -> AsyncIterator[bytes]:
        """Server-sent events as bytes, which sse-starlette passes on as they are."""
        outcome = "gone"
        extra: dict[str, Any] = {"usage": None} if includes_usage else {}
        try:
            for chunk in self._answer.opening_chunks():
                yield _frame(chunk | extra)
            events = first
            while events:
                for each in events:
                    yield _frame(self._answer.chunk(each) | extra)
                events = await self._take()
            if includes_usage:
                yield _frame(self._answer.usage_chunk())
            outcome = "done"
            yield _DONE
        except JarvisError as error:
            outcome = "failed"
            yield b"event: error\n" + _frame(body_of(error))
        finally:
            self.end(outcome)


class _Stream(EventSourceResponse):
    """Ends its reply however it ends, and as soon as the client is known to have gone.

    A body that was never begun runs no `finally` of its own; and the cancellation of one that
    always has something to send may come late.
    """

    def __init__(self, frames: AsyncIterator[bytes], end: Callable[[str], None]) -> None:
        super().__init__(
            frames,
            headers=_STREAM_HEADERS,
            ping=PING_INTERVAL_S,
            sep="\n",
            client_close_handler_callable=self._on_gone,
        )
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end("gone")

    async def _on_gone(self, _: Message) -> None:
        self._end("gone")


def _frame(payload: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(payload) + b"\n\n"
