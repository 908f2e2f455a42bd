"""Folds the parts of one answer into what it holds in all: thoughts, text, calls of tools."""

from dataclasses import dataclass

from core.events import GenerationEvent, ReasoningDelta, TextDelta, ToolCallDelta, ToolCallStarted
from core.messages import ToolCall


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """All that one choice said."""

    text: str
    thought: str
    calls: tuple[ToolCall, ...]


class AnswerFold:
    """Add events in their order; the whole is known at any time."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[tuple[ToolCallStarted, list[str]]] = []

    def add(self, event: GenerationEvent) -> None:
        """Events that are no part of an answer change nothing."""
        match event:
            case TextDelta(text):
                self._texts.append(text)
            case ReasoningDelta(text):
                self._thoughts.append(text)
            case ToolCallStarted():
                self._calls.append((event, []))
            case ToolCallDelta(index, arguments):
                self._calls[index][1].append(arguments)
            case _:
                pass

    def whole(self) -> WholeAnswer:
        calls = (
            ToolCall(start.name, "".join(arguments), start.id) for start, arguments in self._calls
        )
        return WholeAnswer("".join(self._texts), "".join(self._thoughts), tuple(calls))
