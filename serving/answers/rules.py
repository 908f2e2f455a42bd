"""Owns what is to be found in the answers to one request, as a value."""

from dataclasses import dataclass

from chat_formats.thoughts import ThoughtSyntax
from chat_formats.tool_calls.syntax import CallSyntax


@dataclass(frozen=True, slots=True)
class ThoughtRules:
    """`is_open` where the prompt's end is inside a block. After `budget` ids of thoughts the block
    is closed by `ending_ids`, which the model did not write; `gap_ids` are their last ones, which
    stand behind the closing.
    """

    syntax: ThoughtSyntax
    is_open: bool
    budget: int | None
    ending_ids: tuple[int, ...]
    gap_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CallRules:
    """`names` are those of the tools that may be called."""

    syntax: CallSyntax
    names: frozenset[str]
    is_parallel: bool


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """None where an answer has no thoughts, or no tool may be called: all is text then.

    With `waits_for_answer`, a grammar holds from where the answer begins, behind its thoughts.
    """

    thoughts: ThoughtRules | None = None
    calls: CallRules | None = None
    waits_for_answer: bool = False
