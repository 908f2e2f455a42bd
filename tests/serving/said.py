"""Folds the events of one answer into what it holds."""

from dataclasses import dataclass

from core.events import (
    GenerationEnd,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)


@dataclass
class Said:
    """What the events of one answer hold."""

    text: str
    thought: str
    calls: list[tuple[str, str]]
    scored: bytes
    end: GenerationEnd


def read(events: list[GenerationEvent]) -> Said:
    calls: list[tuple[str, str]] = []
    text, thought, scored = "", "", b""
    for event in events[:-1]:
        match event:
            case TextDelta(said, scores):
                assert said or scores, "an event says something"
                text += said
                scored += bytes(each.token_id for each in scores)
            case ReasoningDelta(said):
                assert said, "an event says something"
                thought += said
            case ToolCallStarted(_, _, name):
                calls.append((name, ""))
            case ToolCallDelta(index, arguments):
                calls[index] = (calls[index][0], calls[index][1] + arguments)
    assert isinstance(events[-1], GenerationEnd)
    return Said(text, thought, calls, scored, events[-1])
