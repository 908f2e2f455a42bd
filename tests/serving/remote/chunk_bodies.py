"""Chunks as servers send them, for tests."""

import json
from collections.abc import Sequence
from typing import Any

from core.events import GenerationEvent
from core.tool_choice import ToolChoice
from serving.remote.chat_events import AskedFor, ChatEvents

STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def call(index: int | None, arguments: str = "", **fields: Any) -> dict[str, Any]:
    """A delta with a part of one call; `name` is its function's."""
    function = {"arguments": arguments}
    if "name" in fields:
        function["name"] = fields.pop("name")
    number = {} if index is None else {"index": index}
    return delta(tool_calls=[number | fields | {"function": function}])


def finish(reason: str | None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason, **fields}]}


def usage(prompt: int, completion: int, **details: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return {"choices": [], "usage": counts | details}


def sse(*chunks: object) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks)


def read(
    chunks: Sequence[object], stop: tuple[str, ...] = (), choice: ToolChoice | None = None
) -> list[GenerationEvent]:
    """All events of an answer. Raises UpstreamFailed."""
    events = ChatEvents("far", AskedFor(stop, choice or ToolChoice()))
    found: list[GenerationEvent] = []
    for chunk in chunks:
        found += events.feed(chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode())
    return found + events.end()
