"""Owns what every chat format takes and gives. Knows no format, no token id and no engine."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from chat_formats.thoughts import ThoughtSyntax
from chat_formats.tool_calls.syntax import CallSyntax
from core.messages import Conversation


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The spellings a format needs of the loaded model's vocabulary.

    `controls` are all control tokens. `bos` and `eos` are the model's own, None where it has none.
    `add_bos` tells whether the model's tokenizer puts begin-of-text before a prompt.
    `is_byte_level` tells a byte-level BPE (tekken, llama3) from a sentencepiece vocabulary.
    """

    controls: frozenset[str]
    bos: str | None = None
    eos: str | None = None
    add_bos: bool = False
    is_byte_level: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a prompt: one control token by its spelling, or text to be encoded as text."""

    text: str
    is_control: bool


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt in which each control token that the template wrote is told apart from text.

    No two text pieces are neighbours, and none is empty. `stop_tokens` are spellings of control
    tokens that end the assistant's turn; `stop_strings` do so where the vocabulary lacks a token.
    """

    pieces: tuple[Piece, ...]
    stop_tokens: tuple[str, ...] = ()
    stop_strings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for left, right in zip(self.pieces, self.pieces[1:], strict=False):
            if not left.is_control and not right.is_control:
                raise ValueError("two neighbouring text pieces must be one")
        if not all(piece.text for piece in self.pieces):
            raise ValueError("a piece must not be empty")

    @property
    def text(self) -> str:
        """The whole prompt as one string, as the published template would write it."""
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class AnswerSyntax:
    """What a model writes into its answers besides text.

    `calls` is None where the format has no words for tools. A model that `expects_thoughts` may
    think before it answers; others are only known not to mean anything else by the markers.
    """

    calls: CallSyntax | None
    thoughts: ThoughtSyntax | None = None
    expects_thoughts: bool = False

    @property
    def markers(self) -> frozenset[str]:
        """Spellings that a reader of answers must see, control tokens or not."""
        calls = self.calls.markers if self.calls is not None else frozenset[str]()
        return calls | (self.thoughts.markers if self.thoughts is not None else frozenset())


class ChatFormat(Protocol):
    """Turns a conversation into a prompt, and knows how answers are written.

    Pure: the same conversation gives the same prompt.
    """

    @property
    def name(self) -> str:
        """What `/v1/models` and the log call this format."""
        ...

    @property
    def digest(self) -> str:
        """The same for formats that write the same prompts: a template's hash, or the name."""
        ...

    @property
    def variables(self) -> frozenset[str]:
        """The names that a conversation's `template_kwargs` may set."""
        ...

    @property
    def answers(self) -> AnswerSyntax:
        """What stands in the answers to its prompts."""
        ...

    def render(self, conversation: Conversation) -> RenderedPrompt:
        """Raises InvalidConversation where the format can't express the conversation."""
        ...


def merge_pieces(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Joins neighbouring text and drops what is empty, so that no cut falls inside text."""
    merged: list[Piece] = []
    for piece in pieces:
        if not piece.text:
            continue
        if merged and not merged[-1].is_control and not piece.is_control:
            merged[-1] = Piece(merged[-1].text + piece.text, is_control=False)
        else:
            merged.append(piece)
    return tuple(merged)
