"""Owns how a prompt is put together of template text and client text. Knows no format."""

from chat_formats.base import Piece, RenderedPrompt, SpecialTokens, merge_pieces
from chat_formats.control_tokens import ControlTokens


class PromptWriter:
    """Collects one prompt. Control tokens come from what the template writes, never from clients.

    A control token must be written in one call: pieces are not searched across calls, since that
    is how a client's text could complete one.
    """

    def __init__(self, controls: ControlTokens) -> None:
        self._controls = controls
        self._pieces: list[Piece] = []

    def template(self, text: str) -> None:
        """Writes text of the template's own, whose control tokens count."""
        self._pieces.extend(self._controls.split(text))

    def client(self, text: str) -> None:
        """Writes text that came with the request; a control token spelled in it stays text."""
        self._pieces.append(Piece(text, is_control=False))

    def pieces(self) -> tuple[Piece, ...]:
        """What was written so far, neighbouring text joined."""
        return merge_pieces(self._pieces)


def prompt_with_stops(
    writer: PromptWriter, ends: tuple[str, ...], special: SpecialTokens
) -> RenderedPrompt:
    """The written prompt with what ends an answer: `ends`, the main one first, and the eos token.

    Where the vocabulary lacks the main one, models spell it out, so it becomes a stop string.
    """
    wanted = (*ends, special.eos) if special.eos else ends
    tokens = tuple(dict.fromkeys(end for end in wanted if end in special.controls))
    strings = () if not ends or ends[0] in special.controls else (ends[0],)
    return RenderedPrompt(writer.pieces(), stop_tokens=tokens, stop_strings=strings)


def preferred_token(spelling: str, fallback: str | None, special: SpecialTokens) -> str:
    """The published spelling if the vocabulary has it as a control token, else the model's own."""
    if spelling in special.controls:
        return spelling
    return fallback or ""
