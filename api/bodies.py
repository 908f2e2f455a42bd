"""Owns the shape of answers, plain and streamed, as OpenAI's API has them. Knows no transport."""

import time
import uuid
from collections.abc import Iterable
from typing import Any, Protocol

from api.pump import ChoiceEvent
from core.events import GenerationEnd, TextDelta


class AnswerShape(Protocol):
    """What tells chat from plain completions: names, and where the text stands."""

    id_prefix: str
    whole_object: str
    chunk_object: str

    def whole_choice(self, index: int, text: str, finish_reason: str) -> dict[str, Any]: ...

    def first_choice(self, index: int) -> dict[str, Any] | None: ...

    def text_choice(self, index: int, text: str) -> dict[str, Any]: ...

    def end_choice(self, index: int, finish_reason: str) -> dict[str, Any]: ...


class ChatShape:
    """chat.completion and chat.completion.chunk."""

    id_prefix = "chatcmpl-"
    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def whole_choice(self, index: int, text: str, finish_reason: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None}
        return {
            "index": index,
            "message": message,
            "logprobs": None,
            "finish_reason": finish_reason,
        }

    def first_choice(self, index: int) -> dict[str, Any] | None:
        return _delta(index, {"role": "assistant", "content": ""}, None)

    def text_choice(self, index: int, text: str) -> dict[str, Any]:
        return _delta(index, {"content": text}, None)

    def end_choice(self, index: int, finish_reason: str) -> dict[str, Any]:
        return _delta(index, {}, finish_reason)


class CompletionShape:
    """text_completion, whole and streamed."""

    id_prefix = "cmpl-"
    whole_object = "text_completion"
    chunk_object = "text_completion"

    def whole_choice(self, index: int, text: str, finish_reason: str) -> dict[str, Any]:
        return _text(index, text, finish_reason)

    def first_choice(self, index: int) -> dict[str, Any] | None:
        return None

    def text_choice(self, index: int, text: str) -> dict[str, Any]:
        return _text(index, text, None)

    def end_choice(self, index: int, finish_reason: str) -> dict[str, Any]:
        return _text(index, "", finish_reason)


class Answer:
    """The answer to one request, growing as events come. One id and time for all its chunks."""

    def __init__(self, shape: AnswerShape, model_id: str, num_choices: int) -> None:
        self.id = shape.id_prefix + uuid.uuid4().hex
        self._shape = shape
        self._model_id = model_id
        self._created = int(time.time())
        self._texts: list[list[str]] = [[] for _ in range(num_choices)]
        self._ends: dict[int, GenerationEnd] = {}

    def add(self, events: Iterable[ChoiceEvent]) -> None:
        for each in events:
            if isinstance(each.event, TextDelta):
                self._texts[each.index].append(each.event.text)
            else:
                self._ends[each.index] = each.event

    def whole(self) -> dict[str, Any]:
        """The body of the plain answer, once all choices have ended."""
        choices = [
            self._shape.whole_choice(
                index, "".join(self._texts[index]), self._ends[index].finish_reason
            )
            for index in range(len(self._texts))
        ]
        return {**self._head(self._shape.whole_object), "choices": choices, "usage": self.usage()}

    def opening_chunks(self) -> list[dict[str, Any]]:
        firsts = (self._shape.first_choice(index) for index in range(len(self._texts)))
        return [self._chunk(first) for first in firsts if first is not None]

    def chunk(self, each: ChoiceEvent) -> dict[str, Any]:
        if isinstance(each.event, TextDelta):
            return self._chunk(self._shape.text_choice(each.index, each.event.text))
        return self._chunk(self._shape.end_choice(each.index, each.event.finish_reason))

    def usage_chunk(self) -> dict[str, Any]:
        head = self._head(self._shape.chunk_object)
        return {**head, "choices": [], "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        prompt = sum(end.num_prompt_tokens for end in self._ends.values())
        completion = sum(end.num_completion_tokens for end in self._ends.values())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self._created, "model": self._model_id}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {**self._head(self._shape.chunk_object), "choices": [choice]}


def _delta(index: int, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _text(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
