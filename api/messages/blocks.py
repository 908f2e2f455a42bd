"""Owns the content blocks of one answer, made of events as they come: Anthropic's words for them.

What a stream says and what a plain body holds are the same blocks.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic_core import from_json

from core.events import (
    GenerationEnd,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)

# Where Anthropic documents how clients are to pass on input that is no JSON, it is by this name.
INVALID_JSON = "INVALID_JSON"
StreamEvent = dict[str, Any]
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Block:
    """One block: `head` is all of it but what grows, whose pieces are `parts`. An unbroken one is
    sent when it is whole; `has_input` tells that more than white space has come of a call's.
    """

    index: int
    kind: str
    head: dict[str, Any]
    is_unbroken: bool = False
    has_input: bool = False
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass(frozen=True, slots=True)
class BlockRules:
    """`unbroken` are tools whose input is sent in one piece; thoughts may be left out."""

    unbroken: frozenset[str] = frozenset()
    omits_thinking: bool = False


class BlockSequence:
    """Feed events in their order. Of all blocks the last one alone is open."""

    def __init__(self, rules: BlockRules) -> None:
        self._rules = rules
        self._blocks: list[_Block] = []
        self._is_open = False

    def feed(self, event: GenerationEvent) -> list[StreamEvent]:
        """What a stream says of it."""
        return list(self._told(event))

    def whole(self) -> list[dict[str, Any]]:
        """All blocks, as a plain body has them."""
        return [_whole(block) for block in self._blocks]

    def _told(self, event: GenerationEvent) -> Iterator[StreamEvent]:
        match event:
            case TextDelta(text) if text:
                yield from self._begun("text", {})
                yield self._delta("text_delta", "text", text)
            case ReasoningDelta(text) if text:
                yield from self._begun("thinking", {"signature": ""})
                if not self._rules.omits_thinking:
                    yield self._delta("thinking_delta", "thinking", text)
            case ToolCallStarted(_, call_id, name):
                yield from self._stopped()
                yield from self._begun("tool_use", {"id": call_id, "name": name})
                self._blocks[-1].is_unbroken = name in self._rules.unbroken
            case ToolCallDelta(_, arguments) if arguments:
                yield from self._input(arguments)
            case GenerationEnd():
                yield from self._stopped()

    def _begun(self, kind: str, head: dict[str, Any]) -> Iterator[StreamEvent]:
        if self._is_open and self._blocks[-1].kind == kind:
            return
        yield from self._stopped()
        block = _Block(len(self._blocks), kind, head)
        self._blocks.append(block)
        self._is_open = True
        yield {
            "type": "content_block_start",
            "index": block.index,
            "content_block": _whole(block),
        }

    def _stopped(self) -> Iterator[StreamEvent]:
        if not self._is_open:
            return
        block = self._blocks[-1]
        self._is_open = False
        if block.kind == "tool_use" and block.is_unbroken and block.parts:
            yield _input_delta(block.index, _encode(input_of(block.text)).decode())
        yield {"type": "content_block_stop", "index": block.index}

    def _delta(self, kind: str, key: str, text: str) -> StreamEvent:
        block = self._blocks[-1]
        block.parts.append(text)
        return {
            "type": "content_block_delta",
            "index": block.index,
            "delta": {"type": kind, key: text},
        }

    def _input(self, arguments: str) -> Iterator[StreamEvent]:
        """What can be no object is kept for the end, to be told as one. White space before all else
        is no JSON that clients could read.
        """
        block = self._blocks[-1]
        assert block.kind == "tool_use", "arguments belong to the call before"
        block.parts.append(arguments)
        shown = arguments if block.has_input else arguments.lstrip()
        if shown and not block.has_input:
            block.has_input = True
            block.is_unbroken |= not shown.startswith("{")
        if shown and not block.is_unbroken:
            yield _input_delta(block.index, shown)


def input_of(arguments: str) -> dict[str, Any]:
    """A call's arguments as the object that clients are owed. Of one that was cut off, what is
    whole; what can be none is kept as a text under INVALID_JSON.
    """
    if not arguments.strip():
        return {}
    try:
        found = from_json(arguments, allow_inf_nan=False, allow_partial=_is_cut_off(arguments))
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {INVALID_JSON: arguments}


def _is_cut_off(arguments: str) -> bool:
    """Whether a first value is not complete, as opposed to one that something else follows."""
    try:
        json.JSONDecoder().raw_decode(arguments.lstrip())
    except (ValueError, RecursionError):
        return True
    return False


def _input_delta(index: int, arguments: str) -> StreamEvent:
    delta = {"type": "input_json_delta", "partial_json": arguments}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _whole(block: _Block) -> dict[str, Any]:
    value: Any = input_of(block.text) if block.kind == "tool_use" else block.text
    key = "input" if block.kind == "tool_use" else block.kind
    return {"type": block.kind, **block.head, key: value}
