"""Answers made of events by hand, plain and as a stream that the anthropic package reads."""

import json
from dataclasses import dataclass
from typing import Any

from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from api.messages.blocks import BlockRules
from api.messages.content import MessageContent, MessageStyle
from api.messages.frames import MessageFrames
from core.events import FinishReason, GenerationEnd, GenerationEvent
from tests.answer_sources import MadeSource
from tests.api.messages.anthropic_types import checked_event, checked_message

NUM_PROMPT = 10
RULES = BlockRules()
_EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


@dataclass(frozen=True)
class Told:
    """One answer: its plain body, its stream's events, and what the package makes of these."""

    plain: dict[str, Any]
    events: list[dict[str, Any]]
    streamed: dict[str, Any]


def end(reason: FinishReason = FinishReason.STOP, **fields: Any) -> GenerationEnd:
    return GenerationEnd(reason, NUM_PROMPT, 5, **fields)


def told(*events: GenerationEvent, rules: BlockRules = RULES, fills_window: bool = False) -> Told:
    """Each event comes alone. All that is told is held against the package's types."""
    style = MessageStyle("a-model", rules, max_tokens=100)
    source = MadeSource(num_prompt_tokens=NUM_PROMPT, max_tokens=99 if fills_window else 100)
    content = MessageContent(style, source)
    frames = MessageFrames(content, "req_1")
    data = b""
    for place, event in enumerate(events):
        content.add({0: [event]})
        data += frames.opening() * (place == 0) + frames.of({0: [event]})
    read = events_in((data + frames.closing()).decode())
    plain = checked_message(content.whole())
    return Told(plain, read, _accumulated(read))


def events_in(text: str) -> list[dict[str, Any]]:
    """A stream's events, each by its own name."""
    found = []
    for frame in text.split("\n\n"):
        if frame.startswith("event: "):
            name, data = frame.split("\n", 1)
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            found.append(event)
    return found


def _accumulated(events: list[dict[str, Any]]) -> dict[str, Any]:
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        parsed = _EVENTS.validate_python(checked_event(event))
        snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    made: dict[str, Any] = snapshot.to_dict()
    return made
