"""Owns the question which control tokens of a rendering the template wrote. Knows no template.

The text is always what the template writes for the client's text as it came; renderings with
markers only tell where each part of it is from.
"""

from collections.abc import Callable
from dataclasses import dataclass

from chat_formats.base import Piece
from chat_formats.marking import ForgeryGuard, Marks, choose_marker, unmarked
from chat_formats.turns import refuse
from core.errors import InvalidConversation

_MAX_INSPECTED_TOKENS = 16


def find_pieces(
    render: Callable[[Marks], str], guard: ForgeryGuard, texts: list[str], template: str
) -> tuple[Piece, ...]:
    """The rendering as pieces. `texts` are all strings of the client's that stand in it.

    Raises InvalidConversation where `render` does, and where the template treats a text with a
    control token in it otherwise than a text without.
    """
    try:
        marker = choose_marker([*texts, template])
    except ValueError:
        raise refuse("the messages hold every noncharacter of Unicode") from None
    plain = render(Marks(answer=str, other=str))
    if all(guard.mark(text, marker) == text for text in texts):
        return guard.read(plain, marker)
    spelled = frozenset[str]().union(*map(guard.tokens_in, texts))
    return guard.read(_Comparison(render, guard, marker, plain).find(spelled), marker)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Looks for a rendering with markers that is the plain one but for them."""

    render: Callable[[Marks], str]
    guard: ForgeryGuard
    marker: str
    plain: str

    def find(self, spelled: frozenset[str]) -> str:
        """`spelled` are the control tokens that stand in the client's texts, in lower case.

        A template may look for a control token in an assistant's answer, to take the reasoning
        out. Such a token can't be marked there; what the template leaves of it stays a control
        token, as it was when the model wrote it.
        """
        nothing = frozenset[str]()
        marked = self._marked(nothing, nothing, marks_middles=True)
        if marked is None:
            # Templates compare words such as `object`, which may stand inside a control token.
            marked = self._marked(nothing, nothing)
        if marked is None and len(spelled) <= _MAX_INSPECTED_TOKENS:
            inspected = frozenset(token for token in spelled if self._inspects(token, spelled))
            marked = self._marked(everywhere=nothing, in_answers=inspected)
        if marked is None:
            raise refuse("the chat template looks for a control token that a message spells out")
        return marked

    def _inspects(self, token: str, spelled: frozenset[str]) -> bool:
        others = spelled - {token}
        return self._marked(everywhere=others, in_answers=others) is None

    def _marked(
        self,
        everywhere: frozenset[str],
        in_answers: frozenset[str],
        *,
        marks_middles: bool = False,
    ) -> str | None:
        """The rendering with all but these control tokens marked, None if it says another thing."""

        def mark(text: str, skipped: frozenset[str]) -> str:
            return self.guard.mark(text, self.marker, skipped, marks_middles=marks_middles)

        marks = Marks(
            answer=lambda text: mark(text, in_answers),
            other=lambda text: mark(text, everywhere),
            marker=self.marker,
        )
        try:
            marked = self.render(marks)
        except InvalidConversation:
            return None
        return marked if unmarked(marked, self.marker) == self.plain else None
