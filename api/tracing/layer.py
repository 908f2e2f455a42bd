"""The layer around all others: which trace a request belongs to, for the servers that are asked
while it is answered.
"""

from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from api.tracing.trace_headers import trace_headers_of
from core.observation import Observer
from core.request_context import TraceHeaders, trace_headers


class SpanMaker(Observer, Protocol):
    """Who makes a span of each request, and ends it with the reply."""

    def begin(self, given: TraceHeaders) -> TraceHeaders:
        """The headers of what belongs to the span that begins here, in the trace that is given.
        Called in the request's own context.
        """
        ...


class TraceLayer:
    """ASGI middleware. Without spans, what the client said goes on as it came."""

    def __init__(self, app: ASGIApp, spans: SpanMaker | None) -> None:
        self._app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = trace_headers_of(scope["headers"])
        token = trace_headers.set(given if self._spans is None else self._spans.begin(given))
        try:
            await self._app(scope, receive, send)
        finally:
            trace_headers.reset(token)
