"""Owns rendering by a Jinja template: the model's own or a file. Knows no named format, no engine.

The prompt's text is always what the published template writes, or the conversation is refused.
Begin-of-text is put before it where the model's tokenizer adds it and the template doesn't.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime

from chat_formats.base import AnswerSyntax, Piece, RenderedPrompt, SpecialTokens, merge_pieces
from chat_formats.continuation import OpenEnd, open_end
from chat_formats.marking import ForgeryGuard, Marks
from chat_formats.provenance import find_pieces
from chat_formats.sandbox import TemplateBroken, TemplateSandbox
from chat_formats.template_traits import Part, Probe, find_traits
from chat_formats.template_variables import (
    SERVER_VARIABLES,
    VariableRules,
    check_variables,
    client_texts,
    template_variables,
)
from chat_formats.thoughts import KNOWN_THOUGHTS
from chat_formats.turns import check_ends, refuse
from core.errors import ConfigurationError, InvalidConversation
from core.messages import Conversation, Message

_PLAINEST = Conversation((Message("user", "Hello"),))
_KNOWN_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


class JinjaFormat:
    """A template as a format. It runs sandboxed in a process of its own, which ends with this.

    Raises ConfigurationError where the template doesn't compile, or breaks its sandbox's rules on
    the plainest conversation. `clock` answers templates that ask for the date.
    """

    def __init__(
        self,
        name: str,
        template: str,
        special: SpecialTokens,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._name = name
        self._template = template
        self._special = special
        self._clock = clock
        self._guard = ForgeryGuard(special.controls)
        self._sandbox = TemplateSandbox(template)
        developer_role = "developer" if self._mentions("developer") else "system"
        rules = VariableRules(developer_role=developer_role)
        # Each question to a template that never ends would take all the time there is for one.
        self._refuse_broken(rules)
        self._traits = find_traits(Probe(self._probe), rules)
        eos = (special.eos,) if special.eos and special.eos in special.controls else ()
        self._stop_tokens = tuple(dict.fromkeys((*self._traits.stop_tokens, *eos)))

    @property
    def name(self) -> str:
        """What the operator chose: `model`, or the file."""
        return self._name

    @property
    def digest(self) -> str:
        return hashlib.sha256(self._template.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def variables(self) -> frozenset[str]:
        return self._sandbox.variables - SERVER_VARIABLES

    @property
    def answers(self) -> AnswerSyntax:
        """Calls as the template writes them, thoughts where it knows of some."""
        has_tools = not self._traits.left_out & {Part.TOOLS, Part.TOOL_CALLS, Part.TOOL_RESULTS}
        own = next((each for each in KNOWN_THOUGHTS if each.closing in self._template), None)
        return AnswerSyntax(
            self._traits.calls if has_tools else None,
            own or KNOWN_THOUGHTS[0],
            expects_thoughts=own is not None,
        )

    def render(self, conversation: Conversation) -> RenderedPrompt:
        """Raises InvalidConversation where the template refuses the conversation, fails, exceeds
        its limits, leaves a part of it out or does not show the text that is to be continued, and
        for roles and variables that it doesn't know."""
        self._check(conversation)
        pieces = self._pieces(conversation, self._traits.rules)
        return RenderedPrompt(pieces, stop_tokens=self._stop_tokens)

    def _refuse_broken(self, rules: VariableRules) -> None:
        """A template that fails in another way may still know what to do with tools."""
        try:
            self._pieces(_PLAINEST, rules)
        except TemplateBroken as error:
            raise ConfigurationError(f"{error}; JARVIS_CHAT_FORMAT can name another") from None
        except InvalidConversation:
            return

    def _mentions(self, role: str) -> bool:
        return f"'{role}'" in self._template or f'"{role}"' in self._template

    def _check(self, conversation: Conversation) -> None:
        check_ends(conversation)
        check_variables(conversation.template_kwargs, self._sandbox.variables, self._name)
        for index, message in enumerate(conversation.messages):
            # Templates write roles inside control tokens, so a client may not make one up.
            if message.role not in _KNOWN_ROLES and not self._mentions(message.role):
                raise refuse(f"unknown role {message.role!r}", index)
        parts = _parts(conversation) & self._traits.left_out
        for part in (part for part in Part if part in parts):
            param = "tools" if part is Part.TOOLS else "messages"
            reason = f"the chat template {self._name} has no {part.value}"
            raise InvalidConversation(reason, param=param)

    def _pieces(self, conversation: Conversation, rules: VariableRules) -> tuple[Piece, ...]:
        try:
            texts = client_texts(conversation, rules)
            end = self._open_end(conversation, texts)
            ending = end.ending if end else ""

            def render(marks: Marks) -> str:
                variables = template_variables(conversation, rules, marks, ending)
                rendered = self._sandbox.render(variables | self._tokens(), self._clock())
                return end.cut(rendered, marks.marker) if end else rendered

            pieces = find_pieces(render, self._guard, texts, self._template + ending)
        except RecursionError:
            raise refuse("a JSON value nests too deep") from None
        return self._with_bos(pieces)

    def _open_end(self, conversation: Conversation, texts: list[str]) -> OpenEnd | None:
        if not conversation.continue_final_message:
            return None
        return open_end(conversation.messages[-1].content or "", [*texts, self._template])

    def _tokens(self) -> dict[str, str]:
        return {"bos_token": self._special.bos or "", "eos_token": self._special.eos or ""}

    def _with_bos(self, pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
        bos = self._special.bos
        if not self._special.add_bos or not bos or (pieces and pieces[0].text.startswith(bos)):
            return pieces
        return merge_pieces([Piece(bos, is_control=bos in self._special.controls), *pieces])

    def _probe(self, conversation: Conversation, rules: VariableRules) -> tuple[Piece, ...] | None:
        try:
            return self._pieces(conversation, rules)
        except InvalidConversation:
            return None


def _parts(conversation: Conversation) -> frozenset[Part]:
    roles = {message.role for message in conversation.messages}
    has_part = {
        Part.SYSTEM: bool(roles & {"system", "developer"}),
        Part.TOOLS: bool(conversation.tools),
        Part.TOOL_CALLS: any(message.tool_calls for message in conversation.messages),
        Part.TOOL_RESULTS: "tool" in roles,
    }
    return frozenset(part for part, is_used in has_part.items() if is_used)
