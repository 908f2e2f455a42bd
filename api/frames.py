"""Owns the bytes of a stream: each chunk of an answer as a server-sent event. Sends nothing."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import msgspec

from api.bodies import Answer
from api.errors import body_of
from api.pump import Arrived
from core.errors import JarvisError
from core.events import GenerationEvent, TextDelta

_DONE = b"data: [DONE]\n\n"
# Stands where a text will be: no JSON holds this byte.
_HOLE = b"\0"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _AroundText:
    """A frame before and after its text, which alone differs from one to the next of a choice."""

    before: bytes
    after: bytes


class UsageStyle(Enum):
    """NONE: no usage. LAST: in a chunk of its own at the end. EACH: also in every other chunk."""

    NONE = auto()
    LAST = auto()
    EACH = auto()


class Frames:
    """The frames of one answer, in bytes."""

    def __init__(self, answer: Answer, usage: UsageStyle) -> None:
        self._answer = answer
        self._usage = usage
        self._around: dict[int, _AroundText] = {}

    def opening(self) -> bytes:
        """What a stream says before any text."""
        return b"".join(map(self._chunk, self._answer.opening_chunks()))

    def of(self, arrived: Arrived) -> bytes:
        """A frame an event."""
        return b"".join(
            [self._event(index, event) for index, events in arrived.items() for event in events]
        )

    def closing(self) -> bytes:
        """What follows the last choice's end."""
        if self._usage is UsageStyle.NONE:
            return _DONE
        return _frame(self._answer.usage_chunk()) + _DONE

    def error(self, error: JarvisError) -> bytes:
        return b"event: error\n" + _frame(body_of(error))

    def _event(self, index: int, event: GenerationEvent) -> bytes:
        if not isinstance(event, TextDelta) or event.scores or self._usage is UsageStyle.EACH:
            chunk = self._answer.event_chunk(index, event)
            return b"" if chunk is None else self._chunk(chunk)
        around = self._around.get(index)
        if around is None:
            around = self._around[index] = self._made_around(index)
        return b"%b%b%b" % (around.before, _encode(event.text), around.after)

    def _chunk(self, chunk: dict[str, Any]) -> bytes:
        return _frame(chunk | self._extra())

    def _extra(self) -> dict[str, Any]:
        match self._usage:
            case UsageStyle.NONE:
                return {}
            case UsageStyle.LAST:
                return {"usage": None}
            case UsageStyle.EACH:
                return {"usage": self._answer.usage_until_now()}

    def _made_around(self, index: int) -> _AroundText:
        chunk = self._answer.text_chunk(index, msgspec.Raw(_HOLE)) | self._extra()
        return _AroundText(*_frame(chunk).split(_HOLE))


def _frame(payload: dict[str, Any]) -> bytes:
    return b"data: " + _encode(payload) + b"\n\n"
