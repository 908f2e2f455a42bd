"""Owns what published templates write, by the code of `transformers`. Knows none of our formats."""

import json
from pathlib import Path
from typing import Any

from transformers.utils.chat_template_utils import render_jinja_template

from core.messages import Conversation, Message, Tool, ToolCall

QWEN_DEFAULT_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


def published(name: str) -> str:
    """The text of a published template."""
    return (Path(__file__).parent / "published" / f"{name}.jinja").read_text(encoding="utf-8")


def render_published(
    template: str, conversation: Conversation, bos: str = "", eos: str = "", **extra: str
) -> str:
    """The prompt as text. Raises whatever the template raises."""
    variables: dict[str, Any] = {"bos_token": bos, "eos_token": eos, **extra}
    rendered: Any = render_jinja_template(
        conversations=[[message_dict(message) for message in conversation.messages]],
        tools=[tool_dict(tool) for tool in conversation.tools] or None,
        chat_template=template,
        add_generation_prompt=conversation.add_generation_prompt,
        continue_final_message=conversation.continue_final_message,
        **variables,
    )
    return str(rendered[0][0])


def render_qwen_without_default(conversation: Conversation) -> str:
    """Qwen2.5's rendering without the system text that it adds where a request has none."""
    text = render_published(published("Qwen-Qwen2.5-7B-Instruct"), conversation)
    if conversation.messages[0].role == "system":
        return text
    if conversation.tools:
        return text.replace(QWEN_DEFAULT_SYSTEM + "\n\n", "", 1)
    return text.removeprefix(f"<|im_start|>system\n{QWEN_DEFAULT_SYSTEM}<|im_end|>\n")


def message_dict(message: Message) -> dict[str, object]:
    """A message as `apply_chat_template` takes it."""
    entry: dict[str, object] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        entry["tool_calls"] = [call_dict(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        entry["tool_call_id"] = message.tool_call_id
    return entry


def call_dict(call: ToolCall) -> dict[str, object]:
    """A tool call, its arguments as a value."""
    function = {"name": call.name, "arguments": json.loads(call.arguments)}
    return {"type": "function", "id": call.id, "function": function}


def tool_dict(tool: Tool) -> dict[str, object]:
    """A tool as OpenAI's API spells it."""
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = dict(tool.parameters)
    return {"type": "function", "function": function}
