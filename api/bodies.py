"""Owns the shape of answers, plain and streamed, as OpenAI's API has them. Knows no transport."""

import time
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from api.pump import Arrived
from core.events import GenerationEnd, TextDelta
from serving.service import Generation

# Text, or JSON that stands for it.
Text = str | msgspec.Raw


class AnswerShape(Protocol):
    """What tells chat from plain completions: names, and where the text stands."""

    id_prefix: str
    whole_object: str
    chunk_object: str

    def whole_choice(self, index: int, text: str, finish_reason: str) -> dict[str, Any]: ...

    def first_choice(self, index: int) -> dict[str, Any] | None: ...

    def text_choice(self, index: int, text: Text) -> dict[str, Any]: ...

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

    def text_choice(self, index: int, text: Text) -> dict[str, Any]:
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

    def text_choice(self, index: int, text: Text) -> dict[str, Any]:
        return _text(index, text, None)

    def end_choice(self, index: int, finish_reason: str) -> dict[str, Any]:
        return _text(index, "", finish_reason)


class Answer:
    """The answer to one request, growing as events come. One id and time for all its chunks."""

    def __init__(
        self, shape: AnswerShape, model_id: str, generations: Sequence[Generation]
    ) -> None:
        self.id = shape.id_prefix + uuid.uuid4().hex
        self._shape = shape
        self._model_id = model_id
        self._created = int(time.time())
        self._generations = generations
        self._texts: list[list[str]] = [[] for _ in generations]
        self._ends: dict[int, GenerationEnd] = {}

    def add(self, arrived: Arrived) -> None:
        for index, events in arrived.items():
            for event in events:
                if isinstance(event, TextDelta):
                    self._texts[index].append(event.text)
                elif isinstance(event, GenerationEnd):
                    self._ends[index] = event

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

    def text_chunk(self, index: int, text: Text) -> dict[str, Any]:
        return self._chunk(self._shape.text_choice(index, text))

    def end_chunk(self, index: int, finish_reason: str) -> dict[str, Any]:
        return self._chunk(self._shape.end_choice(index, finish_reason))

    def usage_chunk(self) -> dict[str, Any]:
        head = self._head(self._shape.chunk_object)
        return {**head, "choices": [], "usage": self.usage()}

    def usage(self) -> dict[str, Any]:
        """A prompt counts once, however many choices it has. Its cached tokens are those of its
        first choice, so that they are never more than the prompt's.
        """
        firsts = [end for i, end in self._ends.items() if self._generations[i].choice == 0]
        prompt = sum(end.num_prompt_tokens for end in firsts)
        completion = sum(end.num_completion_tokens for end in self._ends.values())
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {
                "cached_tokens": sum(end.num_cached_tokens for end in firsts)
            },
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self._created, "model": self._model_id}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {**self._head(self._shape.chunk_object), "choices": [choice]}


def _delta(index: int, delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _text(index: int, text: Text, finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}
