"""Owns what tells chat answers from plain completions: names, and where text and scores stand."""

from typing import Any, Protocol

import msgspec

from api.folding import WholeAnswer
from core.events import ToolCallDelta, ToolCallStarted

# Text, or JSON that stands for it.
Text = str | msgspec.Raw
Logprobs = dict[str, Any] | None
PromptLogprobs = list[msgspec.Raw | None]


class AnswerShape(Protocol):
    """The parts of an answer that differ."""

    id_prefix: str
    whole_object: str
    chunk_object: str

    def whole_choice(
        self, index: int, answer: WholeAnswer, logprobs: Logprobs, finish_reason: str
    ) -> dict[str, Any]: ...

    def first_choice(self, index: int) -> dict[str, Any] | None: ...

    def text_choice(self, index: int, text: Text, logprobs: Logprobs) -> dict[str, Any]: ...

    def thought_choice(self, index: int, thought: Text) -> dict[str, Any]: ...

    def call_choice(self, index: int, part: ToolCallStarted | ToolCallDelta) -> dict[str, Any]: ...

    def end_choice(self, index: int, finish_reason: str) -> dict[str, Any]: ...

    def put_prompt_logprobs(
        self, body: dict[str, Any], found: dict[int, PromptLogprobs]
    ) -> dict[str, Any]:
        """The body or chunk with the prompt's scores of its choices, by index."""
        ...


class ChatShape:
    """chat.completion and chat.completion.chunk."""

    id_prefix = "chatcmpl-"
    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def whole_choice(
        self, index: int, answer: WholeAnswer, logprobs: Logprobs, finish_reason: str
    ) -> dict[str, Any]:
        """As with OpenAI, a message that only calls has no content. Thoughts have vLLM's name and
        llama-server's.
        """
        content = answer.text if answer.text or not answer.calls else None
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if answer.thought:
            message |= {"reasoning_content": answer.thought, "reasoning": answer.thought}
        if answer.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in answer.calls
            ]
        return {
            "index": index,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }

    def first_choice(self, index: int) -> dict[str, Any] | None:
        return _delta(index, {"role": "assistant", "content": ""}, None, None)

    def text_choice(self, index: int, text: Text, logprobs: Logprobs) -> dict[str, Any]:
        return _delta(index, {"content": text}, logprobs, None)

    def thought_choice(self, index: int, thought: Text) -> dict[str, Any]:
        return _delta(index, {"reasoning_content": thought, "reasoning": thought}, None, None)

    def call_choice(self, index: int, part: ToolCallStarted | ToolCallDelta) -> dict[str, Any]:
        """The name first, then the arguments as they come."""
        call: dict[str, Any] = {"index": part.index}
        if isinstance(part, ToolCallStarted):
            function = {"name": part.name, "arguments": ""}
            call |= {"id": part.id, "type": "function", "function": function}
        else:
            call["function"] = {"arguments": part.arguments}
        return _delta(index, {"tool_calls": [call]}, None, None)

    def end_choice(self, index: int, finish_reason: str) -> dict[str, Any]:
        return _delta(index, {}, None, finish_reason)

    def put_prompt_logprobs(
        self, body: dict[str, Any], found: dict[int, PromptLogprobs]
    ) -> dict[str, Any]:
        """All choices have one prompt."""
        return body | {"prompt_logprobs": found[min(found)]} if found else body


class CompletionShape:
    """text_completion, whole and streamed."""

    id_prefix = "cmpl-"
    whole_object = "text_completion"
    chunk_object = "text_completion"

    def whole_choice(
        self, index: int, answer: WholeAnswer, logprobs: Logprobs, finish_reason: str
    ) -> dict[str, Any]:
        return _text(index, answer.text, logprobs, finish_reason)

    def first_choice(self, index: int) -> dict[str, Any] | None:
        return None

    def text_choice(self, index: int, text: Text, logprobs: Logprobs) -> dict[str, Any]:
        return _text(index, text, logprobs, None)

    def thought_choice(self, index: int, thought: Text) -> dict[str, Any]:
        raise AssertionError("plain completions have no thoughts")

    def call_choice(self, index: int, part: ToolCallStarted | ToolCallDelta) -> dict[str, Any]:
        raise AssertionError("plain completions call no tools")

    def end_choice(self, index: int, finish_reason: str) -> dict[str, Any]:
        return _text(index, "", None, finish_reason)

    def put_prompt_logprobs(
        self, body: dict[str, Any], found: dict[int, PromptLogprobs]
    ) -> dict[str, Any]:
        """Each choice stands beside those of its own prompt."""
        if not found:
            return body
        choices = [
            choice | {"prompt_logprobs": found[choice["index"]]} for choice in body["choices"]
        ]
        return body | {"choices": choices}


def _delta(
    index: int, delta: dict[str, Any], logprobs: Logprobs, finish_reason: str | None
) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}


def _text(index: int, text: Text, logprobs: Logprobs, finish_reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish_reason}
