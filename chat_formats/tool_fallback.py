"""Gives tools to a format that has no words for them: by a prompt that explains them.

The model is told to answer with one JSON object, which holds either calls or a text, and a grammar
holds it to that (chat_formats/tool_calls/answer_object.py). Calls in the history are written the
same way, results as messages of the user. Knows no format in particular.
"""

from collections.abc import Mapping
from dataclasses import replace

from chat_formats.base import AnswerSyntax, ChatFormat, RenderedPrompt
from chat_formats.tool_calls.answer_object import CALLS_KEY, TEXT_KEY
from chat_formats.tool_calls.syntax import JSON_ANSWER
from chat_formats.turns import call_arguments, to_json, tool_definition
from core.errors import InvalidConversation
from core.messages import Conversation, Message, Tool

_SYSTEM_ROLES = ("system", "developer")


class ToolFallback:
    """A format that renders what another one can't. Without tools, it is the other one."""

    def __init__(self, inner: ChatFormat) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def digest(self) -> str:
        return f"{self._inner.digest}+{JSON_ANSWER.name}"

    @property
    def variables(self) -> frozenset[str]:
        return self._inner.variables

    @property
    def answers(self) -> AnswerSyntax:
        return replace(self._inner.answers, calls=JSON_ANSWER)

    @property
    def inner(self) -> ChatFormat:
        """The format that renders what is left when tools have become text."""
        return self._inner

    def render(self, conversation: Conversation) -> RenderedPrompt:
        """Raises InvalidConversation where the other format does."""
        if not _has_tools(conversation):
            return self._inner.render(conversation)
        messages = _joined(_without_calls(conversation))
        plain = replace(conversation, messages=messages, tools=())
        if not conversation.tools:
            return self._inner.render(plain)
        explained = _explanation(conversation.tools)
        try:
            return self._inner.render(replace(plain, messages=_in_system(messages, explained)))
        except InvalidConversation:
            return self._inner.render(replace(plain, messages=_in_user(messages, explained)))


def _has_tools(conversation: Conversation) -> bool:
    has_results = any(m.tool_calls or m.role == "tool" for m in conversation.messages)
    return bool(conversation.tools) or has_results


def _explanation(tools: tuple[Tool, ...]) -> str:
    listed = "\n".join(to_json(tool_definition(tool)) for tool in tools)
    return (
        f"You have these tools:\n{listed}\n\nAnswer with one JSON object and nothing else. To call"
        f' tools: {{"{CALLS_KEY}": [{{"name": "<tool>", "arguments": {{<its arguments>}}}}]}}. To'
        f' answer the user: {{"{TEXT_KEY}": "<the answer>"}}.'
    )


def _without_calls(conversation: Conversation) -> list[Message]:
    names = {
        call.id: call.name
        for message in conversation.messages
        for call in message.tool_calls
        if call.id is not None
    }
    answers_are_json = bool(conversation.tools) and not conversation.continue_final_message
    return [_plain(message, names, answers_are_json) for message in conversation.messages]


def _plain(message: Message, names: Mapping[str, str], answers_are_json: bool) -> Message:
    if message.role == "tool":
        name = names.get(message.tool_call_id or "")
        result = {"content": message.content or ""}
        text = to_json({"tool_result": result if name is None else {"name": name} | result})
        return Message("user", text)
    if message.tool_calls:
        calls = [{"name": c.name, "arguments": call_arguments(c)} for c in message.tool_calls]
        before = f"{message.content}\n" if message.content else ""
        return replace(message, content=before + to_json({CALLS_KEY: calls}), tool_calls=())
    if message.role == "assistant" and answers_are_json:
        return replace(message, content=to_json({TEXT_KEY: message.content or ""}))
    return message


def _joined(messages: list[Message]) -> tuple[Message, ...]:
    """Neighbouring messages of the user become one: many formats have roles take turns."""
    joined: list[Message] = []
    for message in messages:
        last = joined[-1] if joined else None
        if last is not None and last.role == message.role == "user":
            text = f"{last.content or ''}\n\n{message.content or ''}"
            joined[-1] = replace(last, content=text)
        else:
            joined.append(message)
    return tuple(joined)


def _in_system(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    if messages and messages[0].role in _SYSTEM_ROLES:
        first = replace(messages[0], content=f"{messages[0].content or ''}\n\n{text}")
        return (first, *messages[1:])
    return (Message("system", text), *messages)


def _in_user(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    """For formats that have no system message."""
    place = next((i for i, each in enumerate(messages) if each.role == "user"), None)
    if place is None:
        return (Message("user", text), *messages)
    message = messages[place]
    changed = replace(message, content=f"{text}\n\n{message.content or ''}")
    return (*messages[:place], changed, *messages[place + 1 :])
