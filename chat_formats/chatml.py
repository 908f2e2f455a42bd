"""Owns ChatML as Qwen2.5 and Hermes write it, tools included. Knows no other format, no engine.

Rendered as Qwen2.5's published template, except that no default system text is added: a request
without a system message gets no system turn, and where it has tools, the tool block alone is the
system turn, as Qwen3's template has it. Messages' `name` is not rendered.
"""

from chat_formats.base import AnswerSyntax, RenderedPrompt, SpecialTokens
from chat_formats.control_tokens import ControlTokens
from chat_formats.thoughts import KNOWN_THOUGHTS
from chat_formats.tool_calls.syntax import HERMES
from chat_formats.turns import (
    Role,
    Turn,
    call_arguments,
    read_turns,
    refuse_unknown_variables,
    to_json,
    tool_definition,
)
from chat_formats.writer import PromptWriter, prompt_with_stops
from core.messages import Conversation, Tool


class ChatmlFormat:
    """`<|im_start|>role`, content, `<|im_end|>`. Begin-of-text only where the tokenizer adds it."""

    def __init__(self, special: SpecialTokens) -> None:
        self._special = special
        self._controls = ControlTokens(special.controls)

    @property
    def name(self) -> str:
        """The name an operator chooses it by."""
        return "chatml"

    @property
    def digest(self) -> str:
        return self.name

    @property
    def variables(self) -> frozenset[str]:
        return frozenset()

    @property
    def answers(self) -> AnswerSyntax:
        return AnswerSyntax(HERMES, KNOWN_THOUGHTS[0])

    def render(self, conversation: Conversation) -> RenderedPrompt:
        """Raises InvalidConversation for an empty conversation, an unknown role, and a last message
        that can't be continued."""
        refuse_unknown_variables(conversation, self.name, self.variables)
        turns = read_turns(conversation)
        writer = PromptWriter(self._controls)
        if self._special.add_bos and self._special.bos:
            writer.template(self._special.bos)
        if conversation.tools:
            turns = _write_tools(writer, conversation.tools, turns)
        for position, turn in enumerate(turns):
            _write_turn(writer, turns, position, turn)
        if conversation.add_generation_prompt:
            writer.template("<|im_start|>assistant\n")
        return prompt_with_stops(writer, ("<|im_end|>", "<|endoftext|>"), self._special)


def _write_tools(
    writer: PromptWriter, tools: tuple[Tool, ...], turns: tuple[Turn, ...]
) -> tuple[Turn, ...]:
    """Writes the system turn with the tools, and gives the turns that are left to write."""
    writer.template("<|im_start|>system\n")
    if turns[0].role is Role.SYSTEM:
        writer.client(turns[0].content)
        writer.template("\n\n")
        turns = turns[1:]
    writer.template(
        "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
    )
    for tool in tools:
        writer.template("\n")
        writer.client(to_json(tool_definition(tool)))
    writer.template(
        "\n</tools>\n\nFor each function call, return a json object with function name and"
        " arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n'
    )
    return turns


def _write_turn(writer: PromptWriter, turns: tuple[Turn, ...], position: int, turn: Turn) -> None:
    if turn.role is Role.TOOL:
        _write_tool_result(writer, turns, position, turn)
    elif turn.tool_calls:
        _write_tool_calls(writer, turn)
    else:
        writer.template(f"<|im_start|>{turn.role.value}\n")
        writer.client(turn.content)
        writer.template("" if turn.is_open else "<|im_end|>\n")


def _write_tool_calls(writer: PromptWriter, turn: Turn) -> None:
    writer.template("<|im_start|>assistant")
    if turn.content:
        writer.template("\n")
        writer.client(turn.content)
    for call in turn.tool_calls:
        writer.template('\n<tool_call>\n{"name": "')
        writer.client(call.name)
        writer.template('", "arguments": ')
        writer.client(to_json(call_arguments(call)))
        writer.template("}\n</tool_call>")
    writer.template("<|im_end|>\n")


def _write_tool_result(
    writer: PromptWriter, turns: tuple[Turn, ...], position: int, turn: Turn
) -> None:
    """Neighbouring results share one user turn."""
    if position == 0 or turns[position - 1].role is not Role.TOOL:
        writer.template("<|im_start|>user")
    writer.template("\n<tool_response>\n")
    writer.client(turn.content)
    writer.template("\n</tool_response>")
    if position + 1 == len(turns) or turns[position + 1].role is not Role.TOOL:
        writer.template("<|im_end|>\n")
