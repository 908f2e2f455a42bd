"""Owns what can be learnt of a template by rendering small conversations. Knows no template text.

A template that leaves something out says nothing, so a conversation with words that stand nowhere
else is rendered, and the words are looked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

from chat_formats.base import Piece
from chat_formats.template_variables import VariableRules
from chat_formats.tool_calls.detection import PROBE_TOOL, detect_calls
from chat_formats.tool_calls.syntax import CallSyntax
from core.messages import Conversation, Message, Tool, ToolCall


class Part(Enum):
    """What a template may leave out of a conversation."""

    SYSTEM = "system messages"
    TOOLS = "tools"
    TOOL_CALLS = "tool calls"
    TOOL_RESULTS = "tool results"


@dataclass(frozen=True, slots=True)
class TemplateTraits:
    """`rules` are how it takes tool calls, `stop_tokens` the control tokens that it writes after
    an assistant's text, `calls` how it writes calls, None where that is not known."""

    rules: VariableRules
    left_out: frozenset[Part]
    stop_tokens: tuple[str, ...]
    calls: CallSyntax | None


@dataclass(frozen=True, slots=True)
class Probe:
    """Renders a conversation to pieces, None where the template refuses it or fails."""

    render: Callable[[Conversation, VariableRules], tuple[Piece, ...] | None]

    def text(self, conversation: Conversation, rules: VariableRules) -> str | None:
        """The rendering as one string."""
        pieces = self.render(conversation, rules)
        return None if pieces is None else "".join(piece.text for piece in pieces)


def find_traits(probe: Probe, rules: VariableRules) -> TemplateTraits:
    """What the template does, beginning from `rules`. Where it refuses a probe, it can speak for
    itself later."""
    rules = _rules_for_calls(probe, rules)
    calls = probe.text(_with_tool_call(), rules)
    prompt = probe.text(Conversation((Message("user", "probequestion"),)), rules)
    left_out = {
        Part.SYSTEM: _leaves_out(probe.text(_with_system(), rules), "probesystem"),
        Part.TOOLS: _leaves_out(probe.text(_with_tools(), rules), PROBE_TOOL),
        Part.TOOL_CALLS: _leaves_out(calls, PROBE_TOOL),
        Part.TOOL_RESULTS: _leaves_out(calls, "proberesult"),
    }
    return TemplateTraits(
        rules=rules,
        left_out=frozenset(part for part, is_left_out in left_out.items() if is_left_out),
        stop_tokens=_find_stop_tokens(probe, rules),
        calls=detect_calls(calls, prompt or "") if calls is not None else None,
    )


def _leaves_out(text: str | None, word: str) -> bool:
    return text is not None and word not in text


def _rules_for_calls(probe: Probe, rules: VariableRules) -> VariableRules:
    """The first way of handing over a tool call that gets its arguments into the prompt.

    Arguments are a value or the text as it came; missing content is none or an empty text.
    """
    for are_arguments_text in (False, True):
        for no_content in (None, ""):
            tried = replace(rules, are_arguments_text=are_arguments_text, no_content=no_content)
            text = probe.text(_with_tool_call(), tried)
            if text is not None and "probevalue" in text:
                return tried
    return rules


def _find_stop_tokens(probe: Probe, rules: VariableRules) -> tuple[str, ...]:
    answered = (Message("user", "probequestion"), Message("assistant", "probeanswer"))
    conversations = (
        Conversation(answered, add_generation_prompt=False),
        Conversation((*answered, Message("user", "probemore")), add_generation_prompt=False),
    )
    found = (_token_after(probe.render(each, rules) or (), "probeanswer") for each in conversations)
    return tuple(dict.fromkeys(token for token in found if token is not None))


def _token_after(pieces: tuple[Piece, ...], word: str) -> str | None:
    for piece, following in pairwise(pieces):
        ends_with_word = piece.text.rstrip().endswith(word) and not piece.is_control
        if ends_with_word and following.is_control:
            return following.text
    return None


def _with_system() -> Conversation:
    return Conversation((Message("system", "probesystem"), Message("user", "probequestion")))


def _with_tools() -> Conversation:
    parameters = {"type": "object", "properties": {"probeargument": {"type": "string"}}}
    tool = Tool(PROBE_TOOL, "probedescription", parameters)
    return Conversation((Message("user", "probequestion"),), tools=(tool,))


def _with_tool_call() -> Conversation:
    call = ToolCall(PROBE_TOOL, '{"probeargument": "probevalue"}', id="probeid00")
    messages = (
        Message("user", "probequestion"),
        Message("assistant", None, tool_calls=(call,)),
        Message("tool", "proberesult", tool_call_id="probeid00"),
    )
    # Without tools, so that a tool's name in the text can only come from the call.
    return Conversation(messages)
