"""Owns the spans: one for each request, from its arrival to its end, sent in batches by a thread of
OpenTelemetry's own. Loaded only where traces are wanted.

Where they go, with which headers, and how many are kept is OpenTelemetry's own environment.
"""

import asyncio
import threading
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api.route_kinds import QUIET_ROUTES
from api.tracing.facts import is_failure, span_facts, span_name
from core.observation import AnswerSummary, ReplySummary
from core.request_context import TraceHeaders

_SERVICE_NAME = "jarvis-llm-proxy"
_CLOSE_S = 5.0
# Until its route is known.
_UNNAMED = "request"

# Of the request that the running code works for; tasks inherit it.
_begun: ContextVar[Span | None] = ContextVar("span", default=None)


class Spans:
    """An observer. Belongs to one event loop."""

    def __init__(self, version: str) -> None:
        """Raises ValueError where a variable of OpenTelemetry's has no sense."""
        own = Resource({"service.name": _SERVICE_NAME, "service.version": version})
        resource = Resource.create().merge(own).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(_SERVICE_NAME, version)
        self._headers = TraceContextTextMapPropagator()

    def begin(self, given: TraceHeaders) -> TraceHeaders:
        """A request has come, in the trace that is given; what it leads to belongs to its span,
        which `replied` ends. Whether it is one of those that are kept is decided here.
        """
        carrier = {name.decode(): value.decode() for name, value in given}
        parent = self._headers.extract(carrier, Context())
        span = self._tracer.start_span(_UNNAMED, parent, SpanKind.SERVER)
        _begun.set(span)
        onward: dict[str, str] = {}
        self._headers.inject(onward, set_span_in_context(span, Context()))
        return tuple((name.encode(), value.encode()) for name, value in onward.items())

    def answer_grew(self, num_tokens: int, since_s: float, model: str) -> None:
        """A span is of the whole."""

    def answer_ended(self, summary: AnswerSummary) -> None:
        """Told with the reply."""

    def replied(self, summary: ReplySummary) -> None:
        span = _begun.get()
        _begun.set(None)
        if span is None or (summary.route in QUIET_ROUTES and summary.error is None):
            # What is not ended is not sent.
            return
        span.update_name(span_name(summary))
        span.set_attributes(span_facts(summary))
        if is_failure(summary):
            span.set_status(StatusCode.ERROR)
        span.end()

    async def close(self) -> None:
        """Sends what is left, if that takes no longer than a few seconds."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _CLOSE_S)
