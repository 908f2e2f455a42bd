"""Makes the parser of an answer that may call tools, for any family's way of writing calls."""

from collections.abc import Callable
from typing import Protocol

from chat_formats.tool_calls.answer_object import AnswerObject
from chat_formats.tool_calls.call_lists import CallList, CallReader, ChosenCall, NamedCall
from chat_formats.tool_calls.call_object import CallObject
from chat_formats.tool_calls.emitter import Emitter
from chat_formats.tool_calls.leading_calls import LeadingCalls
from chat_formats.tool_calls.marked_calls import MarkedCalls
from chat_formats.tool_calls.python_calls import PythonCalls
from chat_formats.tool_calls.syntax import CallBody, CallSyntax
from core.events import AnswerPart


class CallParser(Protocol):
    """Text in, as it comes; text and calls out. The same however the text is cut."""

    @property
    def num_calls(self) -> int:
        """How many have begun."""
        ...

    @property
    def num_complete(self) -> int:
        """How many have ended."""
        ...

    def feed(self, text: str) -> list[AnswerPart]: ...

    def flush(self) -> list[AnswerPart]:
        """What was held back, once the answer is over."""
        ...


def call_parser(syntax: CallSyntax, names: frozenset[str], new_id: Callable[[], str]) -> CallParser:
    """`names` are those of the tools that were offered; `new_id` makes the calls' ids."""
    emitter = Emitter(new_id)
    if syntax.body is CallBody.ANSWER:
        return AnswerObject(emitter, lambda: CallObject(emitter, None, needs_arguments=False))
    if syntax.body is CallBody.PYTHONIC:
        return LeadingCalls(syntax, emitter, lambda: PythonCalls(emitter, names), "[")
    if not syntax.opening:
        return LeadingCalls(
            syntax, emitter, lambda: CallObject(emitter, names, needs_arguments=True), "{"
        )
    takes_names = syntax.body in (CallBody.LIST, CallBody.NAMED)
    return MarkedCalls(syntax, emitter, lambda: _marked_reader(emitter, takes_names=takes_names))


def _marked_reader(emitter: Emitter, *, takes_names: bool) -> CallReader:
    """What follows tells what it is: Mistral's ways have one opening."""

    def make_object() -> CallObject:
        return CallObject(emitter, None, needs_arguments=False)

    def choose(first: str) -> CallReader | None:
        if first == "{":
            return make_object()
        if first == "[":
            return CallList(make_object)
        return NamedCall(emitter) if takes_names else None

    return ChosenCall(choose)
