"""Owns the answers to requests, plain and streamed, as the API has them. Knows no transport."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.folding import AnswerFold
from api.pump import Arrived
from api.scoring import ChoiceScores
from api.shapes import AnswerShape, Logprobs, PromptLogprobs, Text
from core.events import (
    GenerationEnd,
    GenerationEvent,
    PromptEchoed,
    PromptScored,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from serving.generation import Generation


@dataclass(frozen=True, slots=True)
class Labels:
    """What each body and chunk of an answer says of where it comes from."""

    model_id: str
    system_fingerprint: str


class Answer:
    """The answer to one request, growing as events come. One id and time for all its chunks."""

    def __init__(
        self,
        shape: AnswerShape,
        labels: Labels,
        generations: Sequence[Generation],
        scores: Sequence[ChoiceScores],
    ) -> None:
        """`scores` are those of the choices, one each."""
        self.id = shape.id_prefix + uuid.uuid4().hex
        self._shape = shape
        self._labels = labels
        self._created = int(time.time())
        self._generations = generations
        self._scores = scores
        self._folds = [AnswerFold() for _ in generations]
        self._ends: dict[int, GenerationEnd] = {}

    @property
    def model_id(self) -> str:
        return self._labels.model_id

    def add(self, arrived: Arrived) -> None:
        for index, events in arrived.items():
            for event in events:
                self._add(index, event)

    def end(self, outcome: str) -> None:
        """Nothing is kept of an answer."""

    def whole(self) -> dict[str, Any]:
        """The body of the plain answer, once all choices have ended."""
        choices = [
            self._shape.whole_choice(
                index,
                self._folds[index].whole(),
                self._scores[index].whole(),
                self._ends[index].finish_reason,
            )
            for index in range(len(self._folds))
        ]
        body = {**self._head(self._shape.whole_object), "choices": choices, "usage": self.usage()}
        return self._shape.put_prompt_logprobs(body, self._prompt_logprobs())

    def opening_chunks(self) -> list[dict[str, Any]]:
        firsts = (self._shape.first_choice(index) for index in range(len(self._folds)))
        return [self._chunk(first) for first in firsts if first is not None]

    def event_chunk(self, index: int, event: GenerationEvent) -> dict[str, Any] | None:
        """The chunk of any event that has one of its own."""
        match event:
            case TextDelta(text):
                return self.text_chunk(index, text, self._scores[index].of_delta(event))
            case GenerationEnd(finish_reason):
                return self.end_chunk(index, finish_reason)
            case PromptEchoed(text):
                return self.text_chunk(index, text, self._scores[index].of_echo())
            case PromptScored():
                return self._prompt_chunk(index)
            case ReasoningDelta(text):
                return self._chunk(self._shape.thought_choice(index, text))
            case ToolCallStarted() | ToolCallDelta():
                return self._chunk(self._shape.call_choice(index, event))

    def text_chunk(self, index: int, text: Text, logprobs: Logprobs = None) -> dict[str, Any]:
        return self._chunk(self._shape.text_choice(index, text, logprobs))

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
        cached = sum(end.num_cached_tokens for end in firsts)
        prompt = sum(end.num_prompt_tokens for end in firsts)
        completion = sum(end.num_completion_tokens for end in self._ends.values())
        details: dict[str, Any] = {"prompt_tokens_details": {"cached_tokens": cached}}
        thought = sum(end.num_reasoning_tokens for end in self._ends.values())
        if thought:
            details["completion_tokens_details"] = {"reasoning_tokens": thought}
        return _usage(prompt, completion) | details

    def usage_until_now(self) -> dict[str, Any]:
        """Of an answer under way."""
        firsts = [each for each in self._generations if each.choice == 0]
        prompt = sum(len(each.prompt.token_ids) for each in firsts)
        return _usage(prompt, sum(each.num_completion_tokens for each in self._generations))

    def _add(self, index: int, event: GenerationEvent) -> None:
        match event:
            case TextDelta():
                self._folds[index].add(event)
                self._scores[index].add(event)
            case PromptEchoed(text):
                self._folds[index].add(TextDelta(text))
            case PromptScored(scores):
                self._scores[index].add_prompt(scores)
            case GenerationEnd():
                self._ends[index] = event
            case _:
                self._folds[index].add(event)

    def _prompt_chunk(self, index: int) -> dict[str, Any] | None:
        found = self._scores[index].of_prompt()
        if found is None:
            return None
        chunk = self._chunk(self._shape.text_choice(index, "", None))
        return self._shape.put_prompt_logprobs(chunk, {index: found})

    def _prompt_logprobs(self) -> dict[int, PromptLogprobs]:
        found = ((index, each.of_prompt()) for index, each in enumerate(self._scores))
        return {index: each for index, each in found if each is not None}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self._created,
            "model": self._labels.model_id,
            "system_fingerprint": self._labels.system_fingerprint,
        }

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return {**self._head(self._shape.chunk_object), "choices": [choice]}


def _usage(num_prompt: int, num_completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_completion,
        "total_tokens": num_prompt + num_completion,
    }
