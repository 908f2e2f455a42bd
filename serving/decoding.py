"""Turns the ids of one answer into text events: pieces, whole characters, stop strings.

Knows no engine. The same ids give the same events however they are cut into steps.
"""

from collections.abc import Iterator

from backends.base import TokenStep
from core.events import FinishReason, GenerationEnd, GenerationEvent, TextDelta
from core.vocabulary import Vocabulary
from serving.stops import StopScanner
from serving.utf8 import Utf8Stream


class AnswerDecoder:
    """Feed steps until `is_done`. Control ids have no text: they are counted and left out."""

    def __init__(
        self, vocabulary: Vocabulary, stop_strings: tuple[str, ...], num_prompt_tokens: int
    ) -> None:
        self._vocabulary = vocabulary
        self._utf8 = Utf8Stream()
        self._stops = StopScanner(stop_strings) if stop_strings else None
        self._num_prompt_tokens = num_prompt_tokens
        self._num_cached = 0
        self.num_tokens = 0
        self.is_done = False

    def feed(self, step: TokenStep) -> list[GenerationEvent]:
        """The events of one step, GenerationEnd last where the answer is over."""
        self._num_cached = step.num_cached
        pieces = [self._bytes_of(token_id) for token_id in step.token_ids]
        if step.finish is FinishReason.STOP:
            pieces[-1] = b""
        if self._stops is None:
            self.num_tokens += len(pieces)
            text = self._utf8.feed(b"".join(pieces))
            return self._events(
                text if step.finish is None else text + self._utf8.flush(), step.finish
            )
        return self._scanned(self._stops, pieces, step.finish)

    def _scanned(
        self, stops: StopScanner, pieces: list[bytes], finish: FinishReason | None
    ) -> list[GenerationEvent]:
        """Piece by piece, so that a stop string ends the answer at the same token wherever steps
        are cut. What was held back until the end may complete one too.
        """
        ready: list[str] = []
        for text in self._texts(pieces, finish):
            scanned = stops.feed(text)
            ready.append(scanned.text)
            if scanned.is_stopped:
                return self._events("".join(ready), FinishReason.STOP)
        if finish is not None:
            ready.append(stops.flush())
        return self._events("".join(ready), finish)

    def _texts(self, pieces: list[bytes], finish: FinishReason | None) -> Iterator[str]:
        for piece in pieces:
            self.num_tokens += 1
            yield self._utf8.feed(piece)
        if finish is not None:
            yield self._utf8.flush()

    def _events(self, text: str, finish: FinishReason | None) -> list[GenerationEvent]:
        events: list[GenerationEvent] = [TextDelta(text)] if text else []
        if finish is not None:
            self.is_done = True
            events.append(
                GenerationEnd(finish, self._num_prompt_tokens, self.num_tokens, self._num_cached)
            )
        return events

    def _bytes_of(self, token_id: int) -> bytes:
        if token_id in self._vocabulary.control_ids:
            return b""
        return self._vocabulary.pieces[token_id]
