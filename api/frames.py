"""Owns the bytes of a stream: each chunk of an answer as a server-sent event. Sends nothing."""

from dataclasses import dataclass
from typing import Any

import msgspec

from api.bodies import Answer
from api.errors import body_of
from api.pump import Arrived
from core.errors import JarvisError
from core.events import GenerationEvent, PromptScored, TextDelta

_DONE = b"data: [DONE]\n\n"
# Stands where a text will be: no JSON holds this byte.
_HOLE = b"\0"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _AroundText:
    """A frame before and after its text, which alone differs from one to the next of a choice."""

    before: bytes
    after: bytes


class Frames:
    """The frames of one answer, in bytes."""

    def __init__(self, answer: Answer, *, includes_usage: bool) -> None:
        self._answer = answer
        self._includes_usage = includes_usage
        self._extra: dict[str, Any] = {"usage": None} if includes_usage else {}
        self._around: dict[int, _AroundText] = {}

    def opening(self) -> bytes:
        """What a stream says before any text."""
        return b"".join(_frame(chunk | self._extra) for chunk in self._answer.opening_chunks())

    def of(self, arrived: Arrived) -> bytes:
        """A frame an event."""
        return b"".join(
            [self._event(index, event) for index, events in arrived.items() for event in events]
        )

    def closing(self) -> bytes:
        """What follows the last choice's end."""
        return _frame(self._answer.usage_chunk()) + _DONE if self._includes_usage else _DONE

    def error(self, error: JarvisError) -> bytes:
        return b"event: error\n" + _frame(body_of(error))

    def _event(self, index: int, event: GenerationEvent) -> bytes:
        if isinstance(event, PromptScored):
            return b""
        if not isinstance(event, TextDelta):
            return _frame(self._answer.end_chunk(index, event.finish_reason) | self._extra)
        around = self._around.get(index)
        if around is None:
            around = self._around[index] = self._made_around(index)
        return b"%b%b%b" % (around.before, _encode(event.text), around.after)

    def _made_around(self, index: int) -> _AroundText:
        chunk = self._answer.text_chunk(index, msgspec.Raw(_HOLE)) | self._extra
        return _AroundText(*_frame(chunk).split(_HOLE))


def _frame(payload: dict[str, Any]) -> bytes:
    return b"data: " + _encode(payload) + b"\n\n"
