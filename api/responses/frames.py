"""Owns the bytes of a streamed response: OpenAI's events in OpenAI's order. Sends nothing."""

from collections.abc import Iterable
from typing import Any

import msgspec

from api.pump import Arrived
from api.responses.answer import Response, ResponseAnswer, Status
from core.errors import JarvisError

_encode = msgspec.json.Encoder().encode


class ResponseFrames:
    """Implements `api.answering.FrameSource` over an answer that tells its events. Each event is
    numbered as it goes out, from 0.
    """

    def __init__(self, answer: ResponseAnswer) -> None:
        self._answer = answer
        self._next_number = 0

    def opening(self) -> bytes:
        response = self._answer.opening()
        events = [_of_response("created", response), _of_response("in_progress", response)]
        return self._frames(events)

    def of(self, arrived: Arrived) -> bytes:
        return self._frames(self._answer.taken_events())

    def closing(self) -> bytes:
        """Nothing where the client left: then there is no end to tell of."""
        if not self._answer.is_over:
            return b""
        is_incomplete = self._answer.status is Status.INCOMPLETE
        kind = "incomplete" if is_incomplete else "completed"
        return self._frames([_of_response(kind, self._answer.whole())])

    def error(self, error: JarvisError) -> bytes:
        self._answer.fail(error)
        return self._frames([_of_response("failed", self._answer.whole())])

    def _frames(self, events: Iterable[dict[str, Any]]) -> bytes:
        return b"".join([self._frame(event) for event in events])

    def _frame(self, event: dict[str, Any]) -> bytes:
        numbered = {**event, "sequence_number": self._next_number}
        self._next_number += 1
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(numbered))


def _of_response(kind: str, response: Response) -> dict[str, Any]:
    return {"type": f"response.{kind}", "response": response}
