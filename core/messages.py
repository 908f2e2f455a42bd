"""Owns the conversation a client sent, as values. Knows no template, no engine and no HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that an assistant turn made. `arguments` is the JSON text exactly as written."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. `parameters` is a JSON Schema object; with `is_strict`, the
    arguments of every call match it.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `content` is None where an assistant turn holds tool calls alone. `reasoning` is
    what the assistant thought before it, which formats that have no place for it leave out.
    """

    role: str
    content: str | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a chat format renders.

    `add_generation_prompt` opens an assistant turn after the last message; with
    `continue_final_message` the last message's turn is left open instead, for the model to go on
    with. `template_kwargs` are extra variables for Jinja templates; named formats have none.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.add_generation_prompt and self.continue_final_message:
            raise ValueError("a conversation either opens a turn or continues the last one")
