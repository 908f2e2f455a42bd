"""Owns what the chunks and bodies of other servers hold, as far as it is read: types alone.

Reads one event's data at a time; knows nothing of what came before.
"""

from collections.abc import Iterator
from typing import Annotated

import msgspec

DONE = b"[DONE]"
MOST_LINES = 10_000
# A value that may be false, as some servers send beside an answer, is shorter.
_LONGEST_NOTHING = 16
# Of all calls and choices. Millions that say nothing would take seconds to make.
MOST_OBJECTS = 2**16

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
    """A chunk of a stream, or a whole body. `error` is what a server says instead; it may be
    anything, and is not made into objects.
    """

    choices: list[ChoicePart] | None = None
    usage: Usage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")
    object: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def is_error(self) -> bool:
        is_long = len(memoryview(self.error)) > _LONGEST_NOTHING
        says_error = is_long or bool(msgspec.json.decode(self.error))
        return says_error or bytes(self.object) == b'"error"'


_decoder = msgspec.json.Decoder(Chunk)


def read_chunk(data: bytes) -> Chunk:
    """Raises ValueError."""
    if len(data) > MOST_OBJECTS and data.count(b"{") > MOST_OBJECTS:
        raise ValueError(f"one piece of it holds more than {MOST_OBJECTS} objects")
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None


def event_data(events: bytes) -> Iterator[bytes]:
    """The data of whole server-sent events, one each; what else they hold is left out. Of an event
    of too many lines all is given, which is no JSON.
    """
    if b"\r" in events:
        events = events.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for event in events.split(b"\n\n"):
        # Most of what holds no data is left here: a server may send it by the megabyte.
        if b"data:" not in event:
            continue
        if event.count(b"\n") > MOST_LINES:
            yield event
            continue
        lines = [line for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines:
            yield b"\n".join([line[5:].removeprefix(b" ") for line in lines])
