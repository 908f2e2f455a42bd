"""Owns where a rendering is cut so that its last message can be gone on with. Knows no template.

As `transformers` does it: a sign is put behind the message's text, and the rendering ends before
it. White space that the template trims off the text's end is trimmed off the rendering's too.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from chat_formats.marking import choose_marker, unmarked, with_plain_marker
from chat_formats.turns import refuse


@dataclass(frozen=True, slots=True)
class OpenEnd:
    """The end of a text that is to be gone on with. `sign` is one character, found nowhere else."""

    text: str
    sign: str

    @property
    def ending(self) -> str:
        """What is put behind the text; the space is gone where the template trims."""
        return self.sign + " "

    def cut(self, rendered: str, marker: str) -> str:
        """What stands before the sign. `marker` is what else was put into texts, or empty.

        Raises InvalidConversation where the template does not show the text as it is.
        """
        signed = with_plain_marker(rendered, self.sign)
        place = signed.rfind(self.sign)
        shown = unmarked(signed, marker) if marker else signed
        if place < 0 or self.text.strip() not in shown:
            raise refuse(
                "the chat template does not show the last message's text as it is,"
                " so that it can't be continued"
            )
        before = signed[:place].replace(self.ending, "").replace(self.sign, "")
        return before if signed.startswith(self.ending, place) else _trimmed(before, marker)


def open_end(text: str, others: Iterable[str]) -> OpenEnd:
    """`others` are all texts that the sign must not stand in."""
    try:
        return OpenEnd(text, choose_marker([text, *others]))
    except ValueError:
        raise refuse("the messages hold every noncharacter of Unicode") from None


def _trimmed(text: str, marker: str) -> str:
    end = len(text)
    while end and (text[end - 1].isspace() or text[end - 1] == marker):
        end -= 1
    return text[:end]
