"""Gives tools to servers that refuse them: explained in the prompt, and called in JSON.

The same words as for chat formats without tools (chat_formats/tool_fallback.py); where those have a
grammar, a JSON Schema holds the answer here, for that is what servers of all kinds know.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from chat_formats.base import AnswerSyntax, RenderedPrompt
from chat_formats.tool_calls.answer_object import CALLS_KEY, TEXT_KEY
from chat_formats.tool_calls.syntax import JSON_ANSWER
from chat_formats.tool_fallback import ToolFallback
from core.events import FinishReason, GenerationEnd, GenerationEvent, TextDelta
from core.messages import Conversation, Tool
from core.requests import GenerationRequest
from core.structures import JsonSchema
from core.tool_choice import ToolChoice, ToolMode
from serving.answers.reader import AnswerReader
from serving.answers.rules import AnswerRules, CallRules

_MAX_CALLS = 64


def explained(request: GenerationRequest) -> GenerationRequest | None:
    """The request without tools, which says the same in its messages; None where that can't be, or
    where it has none.
    """
    prompt = request.prompt
    if not isinstance(prompt, Conversation) or not prompt.tools or request.structure is not None:
        return None
    is_calling = request.tool_choice.mode is not ToolMode.NONE
    taken = _Taken()
    ToolFallback(taken).render(prompt if is_calling else replace(prompt, tools=()))
    schema = _answer_schema(prompt.tools, request.tool_choice) if is_calling else None
    structure = None if schema is None else JsonSchema(schema, param="tools")
    return replace(request, prompt=taken.plain, structure=structure, tool_choice=ToolChoice())


async def with_calls(
    events: AsyncIterator[GenerationEvent], request: GenerationRequest
) -> AsyncGenerator[GenerationEvent, None]:
    """The events of an explained request's answer, with the calls that its text holds. `request` is
    the one that had the tools.
    """
    prompt, choice = request.prompt, request.tool_choice
    assert isinstance(prompt, Conversation), "a plain prompt has no tools"
    names = frozenset(tool.name for tool in prompt.tools)
    calls = None
    if choice.mode is not ToolMode.NONE:
        calls = CallRules(JSON_ANSWER, names, is_parallel=choice.is_parallel)
    reader = AnswerReader(AnswerRules(calls=calls))
    async for event in events:
        for read in _read(event, reader):
            yield read


def _read(event: GenerationEvent, reader: AnswerReader) -> list[GenerationEvent]:
    if isinstance(event, TextDelta):
        return [] if reader.is_over else [*reader.feed(event.text)]
    if not isinstance(event, GenerationEnd):
        return [event]
    left = reader.flush()
    if reader.has_call and event.finish_reason is FinishReason.STOP:
        event = replace(event, finish_reason=FinishReason.TOOL_CALLS)
    return [*left, event]


def _answer_schema(tools: tuple[Tool, ...], choice: ToolChoice) -> Mapping[str, Any]:
    wanted = [tool for tool in tools if choice.name in (None, tool.name)]
    calls = {
        "type": "array",
        "items": {"anyOf": [_call_schema(tool) for tool in wanted]},
        "minItems": 1,
        "maxItems": _MAX_CALLS if choice.is_parallel else 1,
    }
    calling = _object({CALLS_KEY: calls})
    return calling if choice.is_forced else {"anyOf": [calling, _object({TEXT_KEY: _TEXT})]}


_TEXT = {"type": "string"}


def _call_schema(tool: Tool) -> Mapping[str, Any]:
    return _object({"name": {"enum": [tool.name]}, "arguments": dict(tool.parameters)})


def _object(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


class _Taken:
    """A chat format that writes nothing, and keeps what it is asked to write."""

    name = "messages"
    digest = ""
    variables = frozenset[str]()
    answers = AnswerSyntax(None)

    def __init__(self) -> None:
        self.plain = Conversation(())

    def render(self, conversation: Conversation) -> RenderedPrompt:
        self.plain = conversation
        return RenderedPrompt(())
