"""Owns the body of a chat completion request, and how it becomes a conversation."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import FailFast, Field

from api.schemas.chat_tools import (
    NamedTool,
    ToolField,
    plain_tools,
    read_tool_choice,
    read_tools,
)
from api.schemas.fields import SharedFields, without_idle_fields
from api.schemas.strict_object import StrictObject
from api.schemas.thinking_fields import ThinkingFields
from api.schemas.tools import MAX_TOOLS
from api.schemas.validation import UnknownFields, path_of, shown, validate
from core.errors import InvalidValue, UnsupportedField
from core.messages import Conversation, Message, ToolCall
from core.requests import View
from core.scores import MAX_TOP_LOGPROBS
from core.tool_choice import ToolChoice

MAX_MESSAGES = 100_000
MAX_PARTS = 10_000
MAX_TOOL_CALLS = 1000

IDLE_CHAT_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "functions": ([],),
    "function_call": ("none",),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "verbosity": (),
    "web_search_options": (),
    "echo": (False,),
}
# What clients echo of an answer's message, where it says nothing.
_IDLE_MESSAGE_FIELDS: Mapping[str, tuple[Any, ...]] = {
    "refusal": (),
    "audio": (),
    "function_call": (),
    "annotations": ([],),
}


class FunctionCall(StrictObject):
    """The function that an assistant turn called; `arguments` is JSON as text."""

    name: str = Field(min_length=1)
    arguments: str
    parsed_arguments: Any = Field(None, description="What a client made of them; not read.")


class ToolCallField(StrictObject):
    """A call in an assistant turn of the history."""

    id: str | None = None
    type: Literal["function"] = "function"
    function: FunctionCall
    index: int | None = Field(None, description="Of a streamed call, sent back; not read.")


class TextPart(StrictObject):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


class ChatMessage(StrictObject):
    """One turn. Content is a string, or a list of text parts, which are joined by line breaks."""

    role: str = Field(min_length=1, max_length=100)
    content: str | list[TextPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCallField] | None = Field(None, max_length=MAX_TOOL_CALLS)
    tool_call_id: str | None = None
    reasoning_content: str | None = Field(None, description="What was thought before it.")
    reasoning: str | None = Field(None, description="Another name of reasoning_content.")
    parsed: Any = Field(None, description="What a client made of the content; not read.")


class ChatRequest(SharedFields, ThinkingFields):
    """The body of POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], FailFast()] = Field(
        min_length=1, max_length=MAX_MESSAGES
    )
    tools: list[ToolField] | None = Field(None, max_length=MAX_TOOLS)
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = Field(
        None, description="False: an answer holds one call at most."
    )
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)
    add_generation_prompt: bool | None = Field(
        None, description="False opens no turn for the answer."
    )
    continue_final_message: bool | None = Field(
        None, description="The answer goes on with the last message, which is the assistant's."
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="Further variables of the chat template."
    )

    @property
    def conversation(self) -> Conversation:
        continues = bool(self.continue_final_message)
        opens = not continues if self.add_generation_prompt is None else self.add_generation_prompt
        return Conversation(
            tuple(_message(i, each) for i, each in enumerate(self.messages)),
            tools=read_tools(self.tools),
            add_generation_prompt=opens,
            continue_final_message=continues,
            template_kwargs=self.chat_template_kwargs or {},
        )

    @property
    def choice_of_tools(self) -> ToolChoice:
        return read_tool_choice(self.tool_choice, self.parallel_tool_calls, bool(self.tools))

    @property
    def view(self) -> View:
        return View(
            num_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            num_prompt_logprobs=self.prompt_logprobs,
            shows_control=self.skip_special_tokens is False,
        )

    @property
    def token_limit(self) -> int | None:
        """OpenAI's newer name of max_tokens, or the older one."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def check_together(self) -> None:
        super().check_together()
        self.check_budgets()
        limits = {self.max_tokens, self.max_completion_tokens} - {None}
        if len(limits) > 1:
            raise InvalidValue(
                f"max_tokens is {self.max_tokens} and max_completion_tokens is "
                f"{self.max_completion_tokens}: give one of them",
                param="max_completion_tokens",
            )
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidValue("top_logprobs goes with logprobs: true alone", param="top_logprobs")
        if self.continue_final_message and self.add_generation_prompt:
            raise InvalidValue(
                "continue_final_message does not go with add_generation_prompt: true",
                param="continue_final_message",
            )


def read_chat(body: Mapping[str, Any], unknown: UnknownFields) -> ChatRequest:
    """Raises InvalidValue or UnsupportedField."""
    messages = body.get("messages")
    if isinstance(messages, list) and len(messages) <= MAX_MESSAGES:
        plain = [_plain_message(i, message, unknown) for i, message in enumerate(messages)]
        body = {**body, "messages": plain}
    body = plain_tools(body)
    request = validate(ChatRequest, without_idle_fields(body, IDLE_CHAT_FIELDS), unknown)
    request.check_together()
    return request


def _plain_message(index: int, message: object, unknown: UnknownFields) -> object:
    """A message less what clients echo, its text parts joined; other kinds of part are refused."""
    if not isinstance(message, dict):
        return message
    try:
        plain = without_idle_fields(message, _IDLE_MESSAGE_FIELDS)
    except UnsupportedField as error:
        path = path_of(("messages", index, error.param or ""))
        raise UnsupportedField(f"messages[{index}]: {error}", param=path) from None
    plain = unknown.left_out(ChatMessage, plain, "messages", index)
    return {**plain, "content": _text_of(index, plain.get("content"))}


def _text_of(index: int, content: object) -> str | None:
    """By hand: of a union, pydantic names the branch where a client looks for the field."""
    if content is None or isinstance(content, str):
        return content
    path = path_of(("messages", index, "content"))
    if not isinstance(content, list) or len(content) > MAX_PARTS:
        raise InvalidValue(
            f"{path} is {shown(content)}; allowed is a string or at most {MAX_PARTS} text parts",
            param=path,
        )
    return "\n".join(_part_text(f"{path}[{at}]", part) for at, part in enumerate(content))


def _part_text(path: str, part: object) -> str:
    fields = part if isinstance(part, dict) else {}
    kind, text = fields.get("type"), fields.get("text")
    if isinstance(kind, str) and kind != "text":
        raise UnsupportedField(
            f"{path} is of type {json.dumps(kind[:100])}; this model reads text alone", param=path
        )
    if kind != "text" or not isinstance(text, str) or len(fields) > len(TextPart.model_fields):
        raise InvalidValue(
            f'{path} is {shown(part)}; allowed is {{"type": "text", "text": "…"}}', param=path
        )
    return text


def _message(index: int, message: ChatMessage) -> Message:
    """Raises InvalidValue for a turn that says nothing at all."""
    content = message.content
    assert not isinstance(content, list), "parts are joined before"
    if content is None and not message.tool_calls:
        path = path_of(("messages", index, "content"))
        raise InvalidValue(f"{path} is null; allowed is a string or text parts", param=path)
    calls = tuple(
        ToolCall(call.function.name, call.function.arguments, call.id)
        for call in message.tool_calls or ()
    )
    thought = message.reasoning_content or message.reasoning or None
    return Message(message.role, content, message.name, calls, message.tool_call_id, thought)
