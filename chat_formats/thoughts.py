"""Tells what a model thinks from what it answers, in text that comes in parts.

Thoughts stand between two markers at the beginning of an answer, or the prompt has opened them
already. White space around them belongs to the markup. Knows no template.
"""

from dataclasses import dataclass
from enum import Enum, auto

from chat_formats.tool_calls.partial import partial_length

_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class ThoughtSyntax:
    """The markers. `ending` is how a block that is cut off is closed: the closing and its space."""

    opening: str
    closing: str
    ending: str

    @property
    def markers(self) -> frozenset[str]:
        """Spellings that may be control tokens of a vocabulary."""
        return frozenset({self.opening, self.closing})

    def is_open_in(self, prompt: str) -> bool:
        """Whether the prompt's end is inside a block."""
        return prompt.rstrip(_SPACE).endswith(self.opening)

    def is_closed_in(self, prompt: str) -> bool:
        """Whether the prompt's end says that nothing is thought."""
        return prompt.rstrip(_SPACE).endswith(self.closing)


KNOWN_THOUGHTS = (
    ThoughtSyntax("<think>", "</think>", "\n</think>\n\n"),
    ThoughtSyntax("[THINK]", "[/THINK]", "[/THINK]"),
    ThoughtSyntax("<seed:think>", "</seed:think>", "\n</seed:think>\n\n"),
    ThoughtSyntax("<|START_THINKING|>", "<|END_THINKING|>", "<|END_THINKING|>"),
)


class ThoughtState(Enum):
    """UNDECIDED: nothing but space has come. GAP: thoughts have ended, no answer has begun."""

    UNDECIDED = auto()
    THINKING = auto()
    GAP = auto()
    ANSWERING = auto()


class ThoughtSplitter:
    """Feed text as it comes, then flush. With `is_open`, the prompt has opened the block.

    `has_closed` tells that a block of thoughts came to its end, `has_gap` that something came
    behind it, be it space.
    """

    def __init__(self, syntax: ThoughtSyntax, *, is_open: bool) -> None:
        self._syntax = syntax
        self.state = ThoughtState.THINKING if is_open else ThoughtState.UNDECIDED
        self.has_closed = False
        self.has_gap = False
        self._may_repeat_opening = is_open
        self._is_blank = True
        self._held = ""
        self._space: list[str] = []

    def feed(self, text: str) -> tuple[str, str]:
        """What came of thoughts, and of the answer."""
        text, self._held = self._held + text, ""
        thought = ""
        if self.state is ThoughtState.UNDECIDED or self._may_repeat_opening:
            text = self._opened(text)
        if self.state is ThoughtState.THINKING:
            thought, text = self._thinking(text)
        if self.state is ThoughtState.GAP:
            self.has_gap = self.has_gap or bool(text)
            text = text.lstrip(_SPACE)
            self.state = ThoughtState.ANSWERING if text else ThoughtState.GAP
        return thought, text if self.state is ThoughtState.ANSWERING else ""

    def await_answer(self) -> None:
        """What came behind the block is nobody's: the answer comes next."""
        self.state = ThoughtState.GAP

    def flush(self) -> tuple[str, str]:
        """What was held back, once the answer is over: text that may have become a marker."""
        held, self._held = "".join(self._space) + self._held, ""
        self._space = []
        if self.state is ThoughtState.THINKING:
            return (held.lstrip(_SPACE) if self._is_blank else held).rstrip(_SPACE), ""
        return "", held

    def _opened(self, text: str) -> str:
        """The text behind an opening, or from the answer's first character on."""
        body = text.lstrip(_SPACE)
        opening = self._syntax.opening
        if not body or (len(body) < len(opening) and opening.startswith(body)):
            self._space.append(text[: len(text) - len(body)])
            self._held = body
            return ""
        space = "".join(self._space) + text[: len(text) - len(body)]
        self._space, self._may_repeat_opening = [], False
        if body.startswith(opening):
            self.state = ThoughtState.THINKING
            return body[len(opening) :]
        if self.state is ThoughtState.UNDECIDED:
            self.state = ThoughtState.ANSWERING
        return space + body

    def _thinking(self, text: str) -> tuple[str, str]:
        closing = self._syntax.closing
        found = text.find(closing)
        if found >= 0:
            thought = self._thought(text[:found])
            self.state, self._space, self.has_closed = ThoughtState.GAP, [], True
            return thought, text[found + len(closing) :]
        end = len(text) - partial_length(text, 0, closing)
        self._held += text[end:]
        return self._thought(text[:end]), ""

    def _thought(self, text: str) -> str:
        """Less the space at both ends of a block, as far as is known."""
        if self._is_blank:
            text = text.lstrip(_SPACE)
        body = text.rstrip(_SPACE)
        space = text[len(body) :]
        if not body:
            self._space.append(space)
            return ""
        said = "".join(self._space) + body
        self._space, self._is_blank = [space], False
        return said
