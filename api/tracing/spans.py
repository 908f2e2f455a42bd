"""Owns the spans: one for each request, made when it has ended, and sent in batches by a thread of
OpenTelemetry's own. Loaded only where traces are wanted.

Where they go, with which headers, and how many are kept is OpenTelemetry's own environment.
"""

import asyncio
import threading
import time

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api.route_kinds import QUIET_ROUTES
from api.tracing.facts import is_failure, span_facts, span_name
from core.observation import AnswerSummary, ReplySummary

_SERVICE_NAME = "jarvis-llm-proxy"
_CLOSE_S = 5.0


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

    def answer_grew(self, num_tokens: int, since_s: float) -> None:
        """A span is of the whole."""

    def answer_ended(self, summary: AnswerSummary) -> None:
        """Told with the reply."""

    def replied(self, summary: ReplySummary) -> None:
        if summary.route in QUIET_ROUTES and summary.error is None:
            return
        now_ns = time.time_ns()
        span = self._tracer.start_span(
            span_name(summary),
            self._parent(summary),
            SpanKind.SERVER,
            span_facts(summary),
            start_time=now_ns - round(summary.total_s * 1e9),
        )
        if is_failure(summary):
            span.set_status(StatusCode.ERROR)
        span.end(now_ns)

    async def close(self) -> None:
        """Sends what is left, if that takes no longer than a few seconds."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _CLOSE_S)

    def _parent(self, summary: ReplySummary) -> Context:
        if summary.trace_parent is None:
            return Context()
        return self._headers.extract({"traceparent": summary.trace_parent}, Context())
