"""Owns one response while it is made: its state, its output, and what clients see of it.

Knows no transport. A response that ends is handed to `keep`, where it is to be kept.
"""

import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from api.pump import Arrived
from api.responses.output import Output, ScoreView
from api.responses.output_items import OutputEvent
from core.errors import JarvisError
from core.events import FinishReason, GenerationEnd

Response = dict[str, Any]


class Status(StrEnum):
    """The states of a response; the last four are ends."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


_UNDER_WAY = (Status.QUEUED, Status.IN_PROGRESS)


class ResponseAnswer:
    """Implements `api.answering.Content`. `facts` are the fields that the request decides."""

    def __init__(
        self,
        response_id: str,
        facts: Mapping[str, Any],
        scores: ScoreView,
        keep: Callable[[Response], None] | None,
        *,
        is_stream: bool = False,
    ) -> None:
        self.id = response_id
        self.status = Status.QUEUED
        self._facts = facts
        self._keep = keep
        self._is_stream = is_stream
        self._output = Output(scores)
        self._events: list[OutputEvent] = []
        self._created = int(time.time())
        self._completed: int | None = None
        self._end: GenerationEnd | None = None
        self._error: JarvisError | None = None

    @property
    def model_id(self) -> str:
        return str(self._facts["model"])

    @property
    def is_over(self) -> bool:
        return self.status not in _UNDER_WAY

    def add(self, arrived: Arrived) -> None:
        """There is one choice. What comes after an end changes nothing."""
        if self.is_over:
            return
        if self.status is Status.QUEUED and arrived:
            self.status = Status.IN_PROGRESS
        for event in arrived.get(0, ()):
            self._say(self._output.add(event))
            if isinstance(event, GenerationEnd):
                self._finish(event)

    def fail(self, error: JarvisError) -> None:
        if not self.is_over:
            self._error = error
        self._close(Status.FAILED)

    def cancel(self) -> None:
        self._close(Status.CANCELLED)

    def keep_nothing(self) -> None:
        """However it ends."""
        self._keep = None

    def end(self, outcome: str) -> None:
        """What was to be kept has been by now: a response ends before its transport does."""

    def taken_events(self) -> list[OutputEvent]:
        """What was said since the last call."""
        taken, self._events = self._events, []
        return taken

    def opening(self) -> Response:
        """The response before anything has come."""
        return self._shown(Status.IN_PROGRESS, [])

    def whole(self) -> Response:
        """The response as it is now."""
        return self._shown(self.status, self._output.whole())

    def _say(self, events: list[OutputEvent]) -> None:
        if self._is_stream:
            self._events += events

    def _finish(self, end: GenerationEnd) -> None:
        is_complete = end.finish_reason is not FinishReason.LENGTH
        self._say(self._output.end(is_complete=is_complete))
        self._end = end
        if is_complete:
            self._completed = int(time.time())
        self._close(Status.COMPLETED if is_complete else Status.INCOMPLETE)

    def _close(self, status: Status) -> None:
        """The first end stays."""
        if self.is_over:
            return
        self.status = status
        if self._keep is not None:
            self._keep(self.whole())

    def _shown(self, status: Status, output: list[dict[str, Any]]) -> Response:
        is_incomplete = status is Status.INCOMPLETE
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "completed_at": self._completed if status is Status.COMPLETED else None,
            "error": None if self._error is None else _shown_error(self._error),
            "incomplete_details": {"reason": "max_output_tokens"} if is_incomplete else None,
            **self._facts,
            "output": output,
            "usage": None if self._end is None or status in _UNDER_WAY else _usage(self._end),
        }


def _shown_error(error: JarvisError) -> dict[str, Any]:
    return {"code": "server_error", "message": str(error)}


def _usage(end: GenerationEnd) -> dict[str, Any]:
    """Nothing is billed for writing to a cache."""
    return {
        "input_tokens": end.num_prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": end.num_cached_tokens,
            "cache_write_tokens": 0,
        },
        "output_tokens": end.num_completion_tokens,
        "output_tokens_details": {"reasoning_tokens": end.num_reasoning_tokens},
        "total_tokens": end.num_prompt_tokens + end.num_completion_tokens,
    }
