"""Owns how another server's chunks become events, whatever they hold. Knows no transport.

| what a server sends | what becomes of it |
|---|---|
| no JSON, wrong types, a negative count, an error, a choice but the first | UpstreamFailed |
| `refusal` | text: the model said it |
| pieces of calls by turns, or text between them | each call whole, in the order they began |
| arguments before the name | held back until it comes; without one: UpstreamFailed |
| no id of a call | one is made |
| the number of an earlier call with another id and a name | a call of its own |
| another name for a call; more arguments behind a whole one | UpstreamFailed |
| a second call where one was allowed, none where one was demanded | UpstreamFailed |
| no finish reason, an unknown one, or one that is none (`content_filter`) | UpstreamFailed |
| several finish reasons | the first one holds |
| text, thoughts or calls behind the finish reason | UpstreamFailed |
| no usage | 0 tokens of the prompt; of the answer, the chunks that held some of it |
"""

from dataclasses import dataclass, field

from core.errors import UpstreamFailed, UpstreamFailure, UpstreamFault
from core.events import (
    AnswerPart,
    FinishReason,
    GenerationEnd,
    GenerationEvent,
    ReasoningDelta,
    TextDelta,
)
from core.tool_choice import ToolChoice
from serving.remote.chunks import CallPart, ChoicePart, Chunk, MessagePart, Usage, read_chunk
from serving.remote.part_order import Call, PartOrder

MAX_CALLS = 1000
MAX_NAME_CHARACTERS = 1024
_REASONS = {
    **dict.fromkeys(
        (
            "stop",
            "tool_calls",
            "function_call",
            "tool_use",
            "stop_sequence",
            "end_turn",
            "eos",
            "eos_token",
        ),
        FinishReason.STOP,
    ),
    **dict.fromkeys(("length", "max_tokens", "model_length"), FinishReason.LENGTH),
}


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What was asked for, as far as it is needed to understand the answer."""

    stop: tuple[str, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)


class ChatEvents:
    """Feed the data of each event, or one whole body; then `end`. Both raise UpstreamFailed."""

    def __init__(self, upstream: str, asked: AskedFor) -> None:
        self._upstream = upstream
        self._asked = asked
        self._order = PartOrder()
        self._calls = _Calls(self._order)
        self._finish: FinishReason | None = None
        self._stop: str | None = None
        self._num_counted = 0
        self._usage = Usage()

    @property
    def num_prompt_tokens(self) -> int:
        return self._usage.prompt_tokens or 0

    @property
    def num_completion_tokens(self) -> int:
        """As the server counts them, else the chunks that held a part of the answer."""
        counted = self._usage.completion_tokens
        return self._num_counted if counted is None else counted

    def feed(self, data: bytes) -> list[AnswerPart]:
        try:
            chunk = read_chunk(data)
            self._check(chunk, data)
            for choice in chunk.choices or ():
                self._read(choice)
            if chunk.usage is not None:
                self._usage = chunk.usage
            return self._order.take()
        except ValueError as error:
            raise self._broken(str(error)) from None

    def end(self) -> list[GenerationEvent]:
        """What was held back, and the end."""
        try:
            parts = self._order.flush()
        except ValueError as error:
            raise self._broken(str(error)) from None
        if self._finish is None:
            raise self._broken("its answer ended without a finish reason")
        has_stopped, has_calls = self._finish is FinishReason.STOP, self._calls.count > 0
        if has_stopped and self._asked.tool_choice.is_forced and not has_calls:
            raise self._broken("its answer calls no tool, and was to call one")
        finish = FinishReason.TOOL_CALLS if has_stopped and has_calls else self._finish
        return [*parts, self._told(finish)]

    def _told(self, finish: FinishReason) -> GenerationEnd:
        prompt = self._usage.prompt_tokens_details
        completion = self._usage.completion_tokens_details
        return GenerationEnd(
            finish,
            self.num_prompt_tokens,
            self.num_completion_tokens,
            num_cached_tokens=(prompt.cached_tokens or 0) if prompt else 0,
            num_reasoning_tokens=(completion.reasoning_tokens or 0) if completion else 0,
            stop=self._stop,
        )

    def _check(self, chunk: Chunk, data: bytes) -> None:
        if chunk.is_error:
            raise self._broken("it sent an error in the middle of its answer", data)

    def _read(self, choice: ChoicePart) -> None:
        if choice.index:
            raise ValueError("it sent a choice that nobody asked for")
        self._say(choice.part)
        if choice.finish_reason is not None and self._finish is None:
            self._finish = _REASONS.get(choice.finish_reason)
            if self._finish is None:
                shown = choice.finish_reason[:100]
                raise ValueError(f"its answer ended with the finish reason {shown!r}")
            is_own = choice.stop_reason in self._asked.stop
            self._stop = str(choice.stop_reason) if is_own else None

    def _say(self, part: MessagePart) -> None:
        said = (part.content or "") + (part.refusal or "")
        calls = part.calls
        if not (part.thought or said or calls):
            return
        if self._finish is not None:
            raise ValueError("its answer went on behind its end")
        self._num_counted += 1
        if part.thought:
            self._order.say(ReasoningDelta, part.thought)
        if said:
            self._order.say(TextDelta, said)
        for call in calls:
            self._calls.read(call)
        if self._calls.count > 1 and not self._asked.tool_choice.is_parallel:
            raise ValueError("it called several tools, and was to call one at most")

    def _broken(self, reason: str, body: bytes = b"") -> UpstreamFailed:
        return broken_answer(self._upstream, reason, body)


def broken_answer(upstream: str, reason: str, body: bytes = b"") -> UpstreamFailed:
    """`body` is what the server itself said of it, as JSON."""
    media_type = "application/json" if body else ""
    return UpstreamFailed(
        f"the upstream {upstream} gave a broken answer: {reason}",
        UpstreamFailure(upstream, UpstreamFault.BROKEN, media_type=media_type, body=body),
    )


class _Calls:
    """Which part belongs to which call. Raises ValueError."""

    def __init__(self, order: PartOrder) -> None:
        self._order = order
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}
        self._last: Call | None = None
        self.count = 0

    def read(self, part: CallPart) -> None:
        function = part.function
        name = (function.name if function else None) or ""
        arguments = (function.arguments if function else None) or ""
        if len(name) > MAX_NAME_CHARACTERS or len(part.id or "") > MAX_NAME_CHARACTERS:
            raise ValueError("the name or the id of a call is too long")
        call = self._found(part, name) or self._begun(part.index)
        if name and call.name not in ("", name):
            raise ValueError("a call changes its name")
        call.name = call.name or name
        if part.id and not call.has_started and not call.id:
            call.id = part.id
            self._by_id[part.id] = call
        self._last = call
        if arguments:
            self._order.argue(call, arguments)

    def _found(self, part: CallPart, name: str) -> Call | None:
        """Some servers leave the number out, or give each call the same."""
        if part.index is None:
            if part.id:
                return self._by_id.get(part.id)
            return None if name else self._last
        call = self._by_index.get(part.index)
        if call is None or not name or not part.id:
            return call
        # A call that was named without an id may be told it later: it is the same one.
        is_another = bool(call.name) and call.id in self._by_id and call.id != part.id
        return self._by_id.get(part.id) if is_another else call

    def _begun(self, index: int | None) -> Call:
        if self.count == MAX_CALLS:
            raise ValueError(f"it called more than {MAX_CALLS} tools")
        call = Call(self.count)
        self.count += 1
        if index is not None:
            self._by_index[index] = call
        self._order.begin(call)
        return call
