"""Owns the Llama 3 format as Llama 3.1 Instruct's published template has it. Knows no engine.

The date in the system turn is the published default, so that rendering is pure; the template
variable `date_string` gives another. Departures, each where the published template would lose or
refuse what clients send back of an answer: text beside a tool call stands before it; several calls
of one message become one message each, followed by its result. The role of a first assistant
message when there are tools would be lost: this format refuses that. Messages' `name` is not
rendered.
"""

from chat_formats.base import AnswerSyntax, RenderedPrompt, SpecialTokens
from chat_formats.control_tokens import ControlTokens
from chat_formats.single_calls import with_single_calls
from chat_formats.thoughts import KNOWN_THOUGHTS
from chat_formats.tool_calls.syntax import LLAMA3_JSON
from chat_formats.turns import (
    Role,
    Turn,
    call_arguments,
    read_turns,
    refuse,
    refuse_unknown_variables,
    to_json,
    tool_definition,
)
from chat_formats.writer import PromptWriter, preferred_token, prompt_with_stops
from core.errors import InvalidConversation
from core.messages import Conversation, Tool


class Llama3Format:
    """Header, trimmed content, `<|eot_id|>`; tools stand in the first user message."""

    def __init__(self, special: SpecialTokens) -> None:
        self._special = special
        self._controls = ControlTokens(special.controls)
        self._bos = preferred_token("<|begin_of_text|>", special.bos, special)

    @property
    def name(self) -> str:
        """The name an operator chooses it by."""
        return "llama3"

    @property
    def digest(self) -> str:
        return self.name

    @property
    def variables(self) -> frozenset[str]:
        return frozenset({"date_string"})

    @property
    def answers(self) -> AnswerSyntax:
        return AnswerSyntax(LLAMA3_JSON, KNOWN_THOUGHTS[0])

    def render(self, conversation: Conversation) -> RenderedPrompt:
        """Raises InvalidConversation for an empty conversation, an unknown role, tools without a
        user message first, and a last message that can't be continued."""
        refuse_unknown_variables(conversation, self.name, self.variables)
        turns = read_turns(conversation, {"ipython": Role.TOOL})
        writer = PromptWriter(self._controls)
        writer.template(self._bos)
        turns = _write_system(writer, conversation, turns)
        if conversation.tools:
            turns = _write_tools(writer, conversation.tools, turns)
        for turn in with_single_calls(turns):
            _write_turn(writer, turn)
        if conversation.add_generation_prompt:
            writer.template("<|start_header_id|>assistant<|end_header_id|>\n\n")
        ends = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")
        return prompt_with_stops(writer, ends, self._special)


def _date_string(conversation: Conversation) -> str:
    date = conversation.template_kwargs.get("date_string", "26 Jul 2024")
    if not isinstance(date, str):
        raise InvalidConversation(
            f"date_string must be a string, not {type(date).__name__}",
            param="chat_template_kwargs",
        )
    return date


def _write_system(
    writer: PromptWriter, conversation: Conversation, turns: tuple[Turn, ...]
) -> tuple[Turn, ...]:
    """Writes the system turn, which always stands, and gives the turns that are left to write."""
    writer.template("<|start_header_id|>system<|end_header_id|>\n\n")
    if conversation.tools:
        writer.template("Environment: ipython\n")
    writer.template("Cutting Knowledge Date: December 2023\nToday Date: ")
    writer.client(_date_string(conversation))
    writer.template("\n\n")
    if turns[0].role is Role.SYSTEM:
        writer.client(turns[0].content.strip())
        turns = turns[1:]
    writer.template("<|eot_id|>")
    return turns


def _write_tools(
    writer: PromptWriter, tools: tuple[Tool, ...], turns: tuple[Turn, ...]
) -> tuple[Turn, ...]:
    """Writes the first user turn with the tools, and gives the turns that are left to write."""
    if not turns:
        raise refuse("the chat format llama3 puts tools in the first user message; there is none")
    first = turns[0]
    if first.role is not Role.USER:
        raise refuse("with tools, the chat format llama3 needs a user message first", first.index)
    writer.template(
        "<|start_header_id|>user<|end_header_id|>\n\n"
        "Given the following functions, please respond with a JSON for a function call "
        "with its proper arguments that best answers the given prompt.\n\n"
        'Respond in the format {"name": function name, "parameters": dictionary of argument name'
        " and its value}.Do not use variables.\n\n"
    )
    for tool in tools:
        writer.client(to_json(tool_definition(tool), indent=4))
        writer.template("\n\n")
    writer.client(first.content.strip())
    writer.template("<|eot_id|>")
    return turns[1:]


def _write_turn(writer: PromptWriter, turn: Turn) -> None:
    role = "ipython" if turn.role is Role.TOOL else turn.role.value
    writer.template(f"<|start_header_id|>{role}<|end_header_id|>")
    writer.template("" if turn.is_blank_and_open else "\n\n")
    if turn.role is Role.TOOL:
        writer.client(to_json(turn.content))
    elif turn.tool_calls:
        _write_tool_call(writer, turn)
    else:
        writer.client(turn.content.strip())
    writer.template("" if turn.is_open else "<|eot_id|>")


def _write_tool_call(writer: PromptWriter, turn: Turn) -> None:
    (call,) = turn.tool_calls
    writer.client(turn.content.strip())
    writer.template('{"name": "')
    writer.client(call.name)
    writer.template('", "parameters": ')
    writer.client(to_json(call_arguments(call)))
    writer.template("}")
