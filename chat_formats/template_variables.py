"""Owns how a conversation is handed to a Jinja template, as Hugging Face's templates expect it.

Knows no template text. Every string of the client's is marked on its way, except roles: templates
compare them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chat_formats.marking import Marks
from chat_formats.turns import call_arguments, plain_json, tool_definition
from core.errors import InvalidConversation
from core.messages import Conversation, Message, ToolCall

SERVER_VARIABLES = frozenset(
    {
        *("messages", "tools", "documents", "bos_token", "eos_token"),
        *("add_generation_prompt", "continue_final_message"),
    }
)
_SHOWN_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class VariableRules:
    """What a template wants.

    `no_content` is what it takes where a message has none. `developer_role` is its name for that
    role.
    """

    are_arguments_text: bool = False
    no_content: str | None = None
    developer_role: str = "system"


def check_variables(given: Mapping[str, object], known: frozenset[str], name: str) -> None:
    """Raises InvalidConversation for the server's variables, those that the template named `name`
    does not read (`known` are those it does), and values that nest too deep."""
    for variable, value in given.items():
        shown = repr(variable[:_SHOWN_CHARACTERS])
        if variable in SERVER_VARIABLES:
            raise _refused(f"the template variable {shown} is set by the server")
        if variable not in known:
            raise _refused(f"the chat template {name} has no variable {shown}")
        try:
            plain_json(value)
        except InvalidConversation:
            raise _refused(f"the template variable {shown} nests too deep") from None


def template_variables(
    conversation: Conversation, rules: VariableRules, marks: Marks, ending: str = ""
) -> dict[str, object]:
    """`messages`, `tools`, `add_generation_prompt` and the request's own variables.

    `ending` is put behind the last message's content.
    """
    tools = [_marked(tool_definition(tool), marks.other) for tool in conversation.tools]
    extra = _marked(plain_json(conversation.template_kwargs), marks.other)
    assert isinstance(extra, dict)
    messages = [_message(message, rules, marks) for message in conversation.messages]
    if ending:
        messages[-1]["content"] = f"{messages[-1]['content']}{ending}"
    return {
        **extra,
        "messages": messages,
        "tools": tools or None,
        "documents": None,
        "add_generation_prompt": conversation.add_generation_prompt,
    }


def client_texts(conversation: Conversation, rules: VariableRules) -> list[str]:
    """Every string that `template_variables` would mark."""
    texts: list[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    template_variables(conversation, rules, Marks(other=collect, answer=collect))
    return texts


def _message(message: Message, rules: VariableRules, marks: Marks) -> dict[str, object]:
    mark = marks.answer if message.role == "assistant" else marks.other
    role = rules.developer_role if message.role == "developer" else message.role
    content = rules.no_content if message.content is None else mark(message.content)
    entry: dict[str, object] = {"role": role, "content": content}
    if message.reasoning is not None:
        entry["reasoning_content"] = mark(message.reasoning)
    if message.name is not None:
        entry["name"] = marks.other(message.name)
    if message.tool_call_id is not None:
        entry["tool_call_id"] = marks.other(message.tool_call_id)
    if message.tool_calls:
        entry["tool_calls"] = [_tool_call(call, rules, marks) for call in message.tool_calls]
    return entry


def _tool_call(call: ToolCall, rules: VariableRules, marks: Marks) -> dict[str, object]:
    arguments = call.arguments if rules.are_arguments_text else call_arguments(call)
    function = {"name": marks.other(call.name), "arguments": _marked(arguments, marks.other)}
    entry: dict[str, object] = {"type": "function", "function": function}
    if call.id is not None:
        entry["id"] = marks.other(call.id)
    return entry


def _marked(value: object, mark: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return mark(value)
    if isinstance(value, Mapping):
        return {mark(key): _marked(item, mark) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, mark) for item in value]
    return value


def _refused(reason: str) -> InvalidConversation:
    return InvalidConversation(reason, param="chat_template_kwargs")
