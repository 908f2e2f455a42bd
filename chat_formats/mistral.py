"""Owns Mistral's instruct formats v1, v3 and tekken, and the choice among them. Knows no engine.

v1 is Mistral-7B-Instruct-v0.2's published template in the revision that knows a system message,
v3 is Mistral-7B-Instruct-v0.3's, tekken is Mistral-Nemo-Instruct-2407's. Departures, each where
the published template would lose something:
- v3 and tekken write the system text before the last user message also where that message is not
  the conversation's last one (as Mistral's own tokenizer library does); published, it is dropped.
- Text beside tool calls stands before them; published, it is dropped. Tools in v1 are refused.
- A tool-call id that is not 9 characters long, which the published templates refuse, is replaced
  by one derived from it, the same for the call and its result, since OpenAI's are longer.
Messages' `name` is not rendered.
"""

import hashlib
import string
from dataclasses import dataclass
from enum import Enum

from chat_formats.base import AnswerSyntax, RenderedPrompt, SpecialTokens
from chat_formats.control_tokens import ControlTokens
from chat_formats.thoughts import KNOWN_THOUGHTS
from chat_formats.tool_calls.syntax import MISTRAL_LIST
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

_ID_LENGTH = 9


class MistralVersion(Enum):
    """Generations of Mistral's tokenizers, each with its own spacing."""

    V1 = "v1"
    V3 = "v3"
    TEKKEN = "tekken"


@dataclass(frozen=True, slots=True)
class _Spelling:
    """What the versions write differently; v3 puts a space after each opening tag."""

    opening: str
    closing: str
    gap: str
    before_answer: str
    trims_answer: bool


def mistral_version(special: SpecialTokens) -> MistralVersion:
    """The version that a vocabulary was made for."""
    if special.is_byte_level:
        return MistralVersion.TEKKEN
    if "[TOOL_CALLS]" in special.controls:
        return MistralVersion.V3
    return MistralVersion.V1


def derived_call_id(call_id: str) -> str:
    """The id itself if it is 9 characters long, else 9 alphanumerics that depend on it alone."""
    if len(call_id) == _ID_LENGTH:
        return call_id
    alphabet = string.ascii_letters + string.digits
    number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).digest())
    characters = []
    for _ in range(_ID_LENGTH):
        number, digit = divmod(number, len(alphabet))
        characters.append(alphabet[digit])
    return "".join(characters)


class MistralFormat:
    """`[INST]` user `[/INST]` assistant `</s>`; there is no generation prompt to add."""

    def __init__(self, special: SpecialTokens, version: MistralVersion | None = None) -> None:
        self._special = special
        self._version = version or mistral_version(special)
        self._spelling = _spelling(self._version)
        self._controls = ControlTokens(special.controls)
        self._bos = preferred_token("<s>", special.bos, special)
        self._eos = preferred_token("</s>", special.eos, special)

    @property
    def name(self) -> str:
        """The name an operator chooses this version by."""
        return f"mistral-{self._version.value}"

    @property
    def digest(self) -> str:
        return self.name

    @property
    def variables(self) -> frozenset[str]:
        return frozenset()

    @property
    def answers(self) -> AnswerSyntax:
        has_tools = self._version is not MistralVersion.V1
        return AnswerSyntax(MISTRAL_LIST if has_tools else None, KNOWN_THOUGHTS[1])

    def render(self, conversation: Conversation) -> RenderedPrompt:
        """Raises InvalidConversation for an empty conversation, an unknown role, a system message
        that isn't first, users and assistants that don't alternate, no user message at all, a tool
        message without its call's id, anything of tools in v1, and a last message that can't be
        continued."""
        refuse_unknown_variables(conversation, self.name, self.variables)
        turns = read_turns(conversation)
        system = turns[0].content if turns[0].role is Role.SYSTEM else None
        turns = turns if system is None else turns[1:]
        if self._version is MistralVersion.V1:
            _check_without_tools(conversation, turns)
        _check_order(turns)
        last_user = next(turn for turn in reversed(turns) if turn.role is Role.USER)
        system_place = turns[0] if self._version is MistralVersion.V1 else last_user
        writer = PromptWriter(self._controls)
        writer.template(self._bos)
        for turn in turns:
            # Published templates compare by value: an earlier message of the same text counts too.
            if conversation.tools and turn.role is Role.USER and turn.content == last_user.content:
                self._write_tools(writer, conversation.tools)
            self._write_turn(writer, turn, system if turn is system_place else None)
        return prompt_with_stops(writer, (self._eos,) if self._eos else (), self._special)

    def _write_turn(self, writer: PromptWriter, turn: Turn, system: str | None) -> None:
        if turn.role is Role.USER:
            self._write_user(writer, turn, system)
        elif turn.role is Role.TOOL:
            self._write_tool_result(writer, turn)
        elif turn.tool_calls:
            self._write_tool_calls(writer, turn)
        else:
            self._write_answer(writer, turn)

    def _write_answer(self, writer: PromptWriter, turn: Turn) -> None:
        self._write_text(writer, turn)
        writer.template("" if turn.is_open else self._eos)

    def _write_text(self, writer: PromptWriter, turn: Turn) -> None:
        trims = self._spelling.trims_answer
        writer.template("" if trims and turn.is_blank_and_open else self._spelling.before_answer)
        writer.client(turn.content.strip() if trims else turn.content)

    def _write_user(self, writer: PromptWriter, turn: Turn, system: str | None) -> None:
        writer.template(self._spelling.opening)
        if system is not None:
            writer.client(system)
            writer.template("\n\n")
        writer.client(turn.content)
        writer.template(self._spelling.closing)

    def _write_tools(self, writer: PromptWriter, tools: tuple[Tool, ...]) -> None:
        writer.template(f"[AVAILABLE_TOOLS]{self._spelling.gap}[")
        for number, tool in enumerate(tools):
            writer.template(", " if number else "")
            writer.client(_tool_text(tool))
        writer.template("][/AVAILABLE_TOOLS]")

    def _write_tool_calls(self, writer: PromptWriter, turn: Turn) -> None:
        if turn.content.strip():
            self._write_text(writer, turn)
        writer.template(f"[TOOL_CALLS]{self._spelling.gap}[")
        for number, call in enumerate(turn.tool_calls):
            function = {"name": call.name, "arguments": call_arguments(call)}
            writer.template(", " if number else "")
            writer.client(to_json(function)[:-1])
            writer.template(', "id": "')
            writer.client(_call_id(call.id, turn))
            writer.template('"}')
        writer.template("]" + self._eos)

    def _write_tool_result(self, writer: PromptWriter, turn: Turn) -> None:
        writer.template(f'[TOOL_RESULTS]{self._spelling.gap}{{"content": ')
        writer.client(turn.content)
        writer.template(', "call_id": "')
        writer.client(_call_id(turn.tool_call_id, turn))
        writer.template('"}[/TOOL_RESULTS]')


def _spelling(version: MistralVersion) -> _Spelling:
    if version is MistralVersion.V1:
        return _Spelling(" [INST] ", " [/INST]", gap="", before_answer=" ", trims_answer=False)
    if version is MistralVersion.V3:
        return _Spelling("[INST] ", "[/INST]", gap=" ", before_answer=" ", trims_answer=True)
    return _Spelling("[INST]", "[/INST]", gap="", before_answer="", trims_answer=False)


def _tool_text(tool: Tool) -> str:
    """The definition as the published templates write it: strings between quotes, not escaped."""
    entries = [
        f'"{key}": "{value}"' if isinstance(value, str) else f'"{key}": {to_json(value)}'
        for key, value in tool_definition(tool)["function"].items()
    ]
    return '{"type": "function", "function": {' + ", ".join(entries) + "}}"


def _call_id(call_id: str | None, turn: Turn) -> str:
    if call_id is None:
        raise refuse("Mistral's chat formats need the id of each tool call", turn.index)
    return derived_call_id(call_id)


def _check_without_tools(conversation: Conversation, turns: tuple[Turn, ...]) -> None:
    if conversation.tools:
        raise InvalidConversation("the chat format mistral-v1 has no tools", param="tools")
    for turn in turns:
        if turn.role is Role.TOOL or turn.tool_calls:
            raise refuse("the chat format mistral-v1 has no tool calls", turn.index)


def _check_order(turns: tuple[Turn, ...]) -> None:
    """Users and assistants take turns, a user first; tool calls and results don't count."""
    is_user_next = True
    for turn in turns:
        if turn.role is Role.SYSTEM:
            raise refuse(
                "Mistral's chat formats have a system message in first place only", turn.index
            )
        if turn.role is Role.TOOL or turn.tool_calls:
            continue
        if (turn.role is Role.USER) != is_user_next:
            wanted = "user" if is_user_next else "assistant"
            raise refuse(
                f"Mistral's chat formats need {wanted} here, since user and assistant messages must"
                " alternate after the optional system message",
                turn.index,
            )
        is_user_next = not is_user_next
    if not any(turn.role is Role.USER for turn in turns):
        raise refuse("Mistral's chat formats need at least one user message")
