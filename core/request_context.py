"""Owns which HTTP request the running code works for, so that every log line can say it, and other
servers can go on with its trace. Tasks inherit it, threads of engines have none.
"""

from contextvars import ContextVar

# The id that the client gave, or one that was made for it.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

TraceHeaders = tuple[tuple[bytes, bytes], ...]

# By which others know the trace that it belongs to: W3C's, none where it belongs to none.
trace_headers: ContextVar[TraceHeaders] = ContextVar("trace_headers", default=())
