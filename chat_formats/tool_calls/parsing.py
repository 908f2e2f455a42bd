"""Makes the parser of an answer that may call tools, for any family's way of writing calls."""

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
    def is_calling(self) -> bool:
        """Whether what comes next belongs to what may be a call, or to its markup."""
        ...

    def feed(self, text: str) -> list[AnswerPart]: ...

    def flush(self) -> list[AnswerPart]:
        """What was held back, once the answer is over."""
        ...


def call_parser(syntax: CallSyntax, names: frozenset[str], emitter: Emitter) -> CallParser:
    """`names` are those of the tools that were offered; `emitter` counts the calls."""
    if syntax.body is CallBody.ANSWER:
        return AnswerObject(emitter, lambda: CallObject(emitter, None, needs_arguments=False))
    if not syntax.opening:
        return LeadingCalls(syntax, emitter, lambda first: _leading_reader(emitter, names, first))
    takes_names = syntax.body in (CallBody.LIST, CallBody.NAMED)
    return MarkedCalls(syntax, emitter, lambda: _marked_reader(emitter, takes_names=takes_names))


def _leading_reader(emitter: Emitter, names: frozenset[str], first: str) -> CallReader | None:
    """Models of one family write JSON or Python, whatever their template has."""
    if first == "{":
        return CallObject(emitter, names, needs_arguments=True)
    return PythonCalls(emitter, names) if first == "[" else None


def _marked_reader(emitter: Emitter, *, takes_names: bool) -> CallReader:
    """What follows tells what it is: Mistral's ways have one opening."""

    def make_object() -> CallObject:
        return CallObject(emitter, None, needs_arguments=False)

    def choose(first: str) -> CallReader | None:
        if first == "{":
            return make_object()
        if first == "[":
            return CallList(emitter, make_object)
        return NamedCall(emitter) if takes_names else None

    return ChosenCall(choose)
