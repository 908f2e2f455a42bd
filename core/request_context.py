"""Owns which HTTP request the running code works for, so that every log line can say it."""

from contextvars import ContextVar

# The id that the client gave, or one that was made for it. Tasks inherit it, threads of engines
# have none.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
