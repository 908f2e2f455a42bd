"""Owns the items of a response's output while they grow, and what is said of each step.

An output event is the JSON of one of OpenAI's streaming events but for its sequence number and its
item's place in the output.
"""

import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from core.events import ToolCallStarted

OutputEvent = dict[str, Any]
Shown = dict[str, Any]
_encode = msgspec.json.Encoder().encode


class OutputItem(Protocol):
    """One item, growing."""

    def whole(self, status: str) -> dict[str, Any]:
        """The item until now; one that is `in_progress` has just been added and holds nothing."""
        ...

    def opening(self) -> list[OutputEvent]:
        """What follows the event that the item was added."""
        ...

    def closing(self) -> list[OutputEvent]:
        """What goes before the event that the item is done."""
        ...


class MessageOutput:
    """A message of one text."""

    def __init__(self) -> None:
        self._id = "msg_" + uuid.uuid4().hex
        self._texts: list[str] = []
        # As JSON, as items have them and as events have them: the end shows all of them four times.
        self._scores: list[msgspec.Raw] = []
        self._scores_of_events: list[msgspec.Raw] = []

    def whole(self, status: str) -> dict[str, Any]:
        content = [] if status == "in_progress" else [self._part()]
        return _item(self._id, "message", status, role="assistant", content=content)

    def opening(self) -> list[OutputEvent]:
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        return [self._event("content_part.added", part=part)]

    def delta(self, text: str, scores: list[Shown]) -> OutputEvent:
        self._texts.append(text)
        shown = _encoded(_without_bytes(scores))
        self._scores += _encoded(scores)
        self._scores_of_events += shown
        return self._event("output_text.delta", delta=text, logprobs=shown)

    def closing(self) -> list[OutputEvent]:
        scores = self._scores_of_events
        return [
            self._event("output_text.done", text="".join(self._texts), logprobs=scores),
            self._event("content_part.done", part=self._part()),
        ]

    def _part(self) -> dict[str, Any]:
        text = "".join(self._texts)
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": self._scores}

    def _event(self, kind: str, **fields: Any) -> OutputEvent:
        return {"type": f"response.{kind}", "item_id": self._id, "content_index": 0, **fields}


class ReasoningOutput:
    """What the model thought."""

    def __init__(self) -> None:
        self._id = "rs_" + uuid.uuid4().hex
        self._texts: list[str] = []

    def whole(self, status: str) -> dict[str, Any]:
        content = [] if status == "in_progress" else [self._part()]
        return _item(self._id, "reasoning", status, summary=[], content=content)

    def opening(self) -> list[OutputEvent]:
        return [self._event("content_part.added", part={"type": "reasoning_text", "text": ""})]

    def delta(self, text: str) -> OutputEvent:
        self._texts.append(text)
        return self._event("reasoning_text.delta", delta=text)

    def closing(self) -> list[OutputEvent]:
        return [
            self._event("reasoning_text.done", text="".join(self._texts)),
            self._event("content_part.done", part=self._part()),
        ]

    def _part(self) -> dict[str, Any]:
        return {"type": "reasoning_text", "text": "".join(self._texts)}

    def _event(self, kind: str, **fields: Any) -> OutputEvent:
        return {"type": f"response.{kind}", "item_id": self._id, "content_index": 0, **fields}


class CallOutput:
    """A call of a function."""

    def __init__(self, started: ToolCallStarted) -> None:
        self._id = "fc_" + uuid.uuid4().hex
        self._started = started
        self._arguments: list[str] = []

    def whole(self, status: str) -> dict[str, Any]:
        call_id, name = self._started.id, self._started.name
        arguments = "" if status == "in_progress" else "".join(self._arguments)
        return _item(
            self._id, "function_call", status, call_id=call_id, name=name, arguments=arguments
        )

    def opening(self) -> list[OutputEvent]:
        return []

    def delta(self, arguments: str) -> OutputEvent:
        self._arguments.append(arguments)
        return self._event("function_call_arguments.delta", delta=arguments)

    def closing(self) -> list[OutputEvent]:
        return [
            self._event("function_call_arguments.done", arguments="".join(self._arguments)),
        ]

    def _event(self, kind: str, **fields: Any) -> OutputEvent:
        return {"type": f"response.{kind}", "item_id": self._id, **fields}


def _item(item_id: str, kind: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"id": item_id, "type": kind, "status": status, **fields}


def _encoded(scores: Sequence[Shown]) -> list[msgspec.Raw]:
    return [msgspec.Raw(_encode(score)) for score in scores]


def _without_bytes(scores: Sequence[Shown]) -> list[Shown]:
    """As events have them."""
    return [
        {
            "token": score["token"],
            "logprob": score["logprob"],
            "top_logprobs": [
                {"token": top["token"], "logprob": top["logprob"]} for top in score["top_logprobs"]
            ],
        }
        for score in scores
    ]
