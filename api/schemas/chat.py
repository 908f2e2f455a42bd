"""Owns the body of a chat completion request, and how it becomes a conversation."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.fields import IDLE_FIELDS, SharedFields, without_idle_fields
from api.schemas.validation import path_of, validate
from core.errors import InvalidValue, UnsupportedField
from core.messages import Conversation, Message, ToolCall

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

IDLE_CHAT_FIELDS: Mapping[str, tuple[Any, ...]] = {
    **IDLE_FIELDS,
    "logprobs": (False,),
    "top_logprobs": (0,),
    "tools": ([],),
    "tool_choice": ("none",),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "function_call": ("none",),
    "store": (False,),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "chat_template_kwargs": ({},),
}
# What clients echo of an answer's message, where it says nothing.
_IDLE_MESSAGE_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "refusal": (),
    "audio": (),
    "function_call": (),
    "annotations": ([],),
    "reasoning_content": ("",),
    "reasoning": ("",),
}


class FunctionCall(BaseModel):
    """The function that an assistant turn called; `arguments` is JSON as text."""

    model_config = _STRICT

    name: str = Field(min_length=1)
    arguments: str


class ToolCallField(BaseModel):
    """A call in an assistant turn of the history."""

    model_config = _STRICT

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall


class TextPart(BaseModel):
    """A part of a message's content."""

    model_config = _STRICT

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn. Content is a string, or a list of text parts, which are joined by line breaks."""

    model_config = _STRICT

    role: str = Field(min_length=1, max_length=100)
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCallField] | None = None
    tool_call_id: str | None = None


class ChatRequest(SharedFields):
    """The body of POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=10_000)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31 - 1)

    @property
    def conversation(self) -> Conversation:
        return Conversation(tuple(_message(i, each) for i, each in enumerate(self.messages)))

    @property
    def token_limit(self) -> int | None:
        """OpenAI's newer name of max_tokens, or the older one."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def check_together(self) -> None:
        super().check_together()
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise InvalidValue(
                f"max_tokens is {self.max_tokens} and max_completion_tokens is "
                f"{self.max_completion_tokens}: give one of them",
                param="max_completion_tokens",
            )


def read_chat(body: Mapping[str, Any]) -> ChatRequest:
    """Raises InvalidValue or UnsupportedField."""
    messages = body.get("messages")
    if isinstance(messages, list):
        plain = [_plain_message(i, message) for i, message in enumerate(messages)]
        body = {**body, "messages": plain}
    request = validate(ChatRequest, without_idle_fields(body, IDLE_CHAT_FIELDS))
    request.check_together()
    return request


def _plain_message(index: int, message: object) -> object:
    """A message less what clients echo, its text parts joined; other kinds of part are refused."""
    if not isinstance(message, dict):
        return message
    try:
        plain = without_idle_fields(message, _IDLE_MESSAGE_FIELDS)
    except UnsupportedField as error:
        path = path_of(("messages", index, error.param or ""))
        raise UnsupportedField(f"messages[{index}]: {error}", param=path) from None
    content = plain.get("content")
    if isinstance(content, list):
        _refuse_other_parts(index, content)
    return plain


def _refuse_other_parts(index: int, parts: list[Any]) -> None:
    for position, part in enumerate(parts):
        path = path_of(("messages", index, "content", position))
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            raise UnsupportedField(
                f"{path} is of type {json.dumps(kind[:100])}; this model reads text alone",
                param=path,
            )


def _message(index: int, message: ChatMessage) -> Message:
    """Raises InvalidValue for a turn that says nothing at all."""
    content = message.content
    if isinstance(content, list):
        content = "\n".join(part.text for part in content)
    if content is None and not message.tool_calls:
        path = path_of(("messages", index, "content"))
        raise InvalidValue(f"{path} is null; allowed is a string or text parts", param=path)
    calls = tuple(
        ToolCall(call.function.name, call.function.arguments, call.id)
        for call in message.tool_calls or ()
    )
    return Message(message.role, content, message.name, calls, message.tool_call_id)
