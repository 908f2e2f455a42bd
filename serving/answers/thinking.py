"""Owns what a wish for thinking means for a template's variables, and in tokens.

Templates know an effort, a switch, or neither; a budget of tokens holds with any of them.
"""

from dataclasses import replace

from core.messages import Conversation
from core.thinking import Effort, Thinking

EFFORT_VARIABLE = "reasoning_effort"
SWITCHES = ("enable_thinking", "thinking")
# Tokens of thoughts where a template knows no effort of its own. None: as many as there are.
EFFORT_BUDGETS = {
    Effort.NONE: 0,
    Effort.MINIMAL: 512,
    Effort.LOW: 1024,
    Effort.MEDIUM: 4096,
    Effort.HIGH: 16_384,
    Effort.XHIGH: None,
}


def with_variables(
    conversation: Conversation, thinking: Thinking, known: frozenset[str]
) -> Conversation:
    """The conversation with what the wish says in the variables that its template knows.

    A switch that the template lacks is left out: `thinking_budget` keeps its meaning. What the
    request sets itself stays as it is.
    """
    given = conversation.template_kwargs
    kept = {name: value for name, value in given.items() if name in known or name not in SWITCHES}
    if thinking.effort is not None:
        is_on = thinking.effort is not Effort.NONE
        wished: dict[str, object] = dict.fromkeys(SWITCHES, is_on)
        wished[EFFORT_VARIABLE] = thinking.effort.value
        kept = {name: value for name, value in wished.items() if name in known} | kept
    return replace(conversation, template_kwargs=kept) if kept != given else conversation


def thinking_budget(
    conversation: Conversation, thinking: Thinking, known: frozenset[str]
) -> int | None:
    """The most tokens of thoughts, None where the model decides. `conversation` is the request's
    own.
    """
    if thinking.budget is not None:
        return thinking.budget
    is_off = any(conversation.template_kwargs.get(name) is False for name in SWITCHES)
    if thinking.effort is None:
        return 0 if is_off else None
    if thinking.effort is Effort.NONE:
        return 0
    return None if EFFORT_VARIABLE in known else EFFORT_BUDGETS[thinking.effort]
