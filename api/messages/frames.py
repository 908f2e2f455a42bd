"""Owns the bytes of a message's stream: each event by its name. Sends nothing."""

import msgspec

from api.errors import kind_of
from api.messages.blocks import StreamEvent
from api.messages.content import MessageContent
from api.pump import Arrived
from core.errors import JarvisError
from core.messages_errors import error_body

_encode = msgspec.json.Encoder().encode


class MessageFrames:
    """Implements `api.answering.FrameSource` over the content that the same events are put into."""

    def __init__(self, content: MessageContent, request_id: str) -> None:
        self._content = content
        self._request_id = request_id

    def opening(self) -> bytes:
        return _frame(self._content.beginning())

    def of(self, arrived: Arrived) -> bytes:
        return b"".join(map(_frame, self._content.news))

    def closing(self) -> bytes:
        """Nothing where the client left: then there is no end to tell of."""
        if not self._content.has_ended:
            return b""
        return _frame(self._content.ending()) + _frame({"type": "message_stop"})

    def error(self, error: JarvisError) -> bytes:
        return _frame(error_body(kind_of(error).status, str(error), self._request_id))


def _frame(event: StreamEvent) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encode(event))
