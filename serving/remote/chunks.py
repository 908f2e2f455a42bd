"""Owns what the chunks and bodies of other servers hold, as far as it is read: types alone.

Reads one event's data at a time; knows nothing of what came before.
"""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

DONE = b"[DONE]"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class CalledFunction(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class CallPart(msgspec.Struct):
    """A part of a call. Servers differ in what of it they repeat, or leave out."""

    index: int | None = None
    id: str | None = None
    function: CalledFunction | None = None


class MessagePart(msgspec.Struct):
    """A delta, or a whole message."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[CallPart] | None = None
    function_call: CalledFunction | None = None

    @property
    def thought(self) -> str:
        """Some servers send it by both names."""
        return self.reasoning_content or self.reasoning or ""

    @property
    def calls(self) -> list[CallPart]:
        """`llama_cpp.server` says each call again by its old name."""
        if self.tool_calls is not None or self.function_call is None:
            return self.tool_calls or []
        return [CallPart(index=0, function=self.function_call)]


class ChoicePart(msgspec.Struct):
    """A choice of a chunk or a body; `text` is that of plain completions. `stop_reason` is vLLM's:
    the stop string, or the id.
    """

    index: int | None = None
    delta: MessagePart | None = None
    message: MessagePart | None = None
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None

    @property
    def part(self) -> MessagePart:
        return self.delta or self.message or MessagePart(content=self.text)


class PromptDetails(msgspec.Struct):
    cached_tokens: Count | None = None


class CompletionDetails(msgspec.Struct):
    reasoning_tokens: Count | None = None


class Usage(msgspec.Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Chunk(msgspec.Struct):
    """A chunk of a stream, or a whole body. `error` is what a server says instead."""

    choices: list[ChoicePart] | None = None
    usage: Usage | None = None
    error: Any = None
    object: Any = None

    @property
    def is_error(self) -> bool:
        return self.error is not None or self.object == "error"


_decoder = msgspec.json.Decoder(Chunk)


def read_chunk(data: bytes) -> Chunk:
    """Raises ValueError."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None


def event_data(events: bytes) -> Iterator[bytes]:
    """The data of whole server-sent events, one each; what else they hold is left out."""
    lines: list[bytes] = []
    for line in events.splitlines():
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif not line and lines:
            yield b"\n".join(lines)
            lines = []
    if lines:
        yield b"\n".join(lines)
