"""Turns the ids of one answer into text events: pieces, whole characters, stop strings.

Knows no engine. The same ids give the same events however they are cut into steps.
"""

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
        self._stops = StopScanner(stop_strings)
        self._num_prompt_tokens = num_prompt_tokens
        self._num_tokens = 0
        self.is_done = False

    def feed(
        self, token_ids: tuple[int, ...], finish: FinishReason | None
    ) -> list[GenerationEvent]:
        """The events of one step, GenerationEnd last where the answer is over.

        Id by id, so that a stop string ends the answer at the same token wherever steps are cut.
        """
        ready: list[str] = []
        for index, token_id in enumerate(token_ids, start=1):
            self._num_tokens += 1
            is_end = finish is FinishReason.STOP and index == len(token_ids)
            data = b"" if is_end else self._bytes_of(token_id)
            scanned = self._stops.feed(self._utf8.feed(data))
            ready.append(scanned.text)
            if scanned.is_stopped:
                return self._events(ready, index, FinishReason.STOP)
        if finish is None:
            return self._events(ready, len(token_ids), None)
        return self._end(ready, len(token_ids), finish)

    def _end(
        self, ready: list[str], num_tokens: int, finish: FinishReason
    ) -> list[GenerationEvent]:
        """Lets out what was held back; even that may complete a stop string."""
        scanned = self._stops.feed(self._utf8.flush())
        if scanned.is_stopped:
            return self._events([*ready, scanned.text], num_tokens, FinishReason.STOP)
        return self._events([*ready, scanned.text, self._stops.flush()], num_tokens, finish)

    def _events(
        self, ready: list[str], num_tokens: int, finish: FinishReason | None
    ) -> list[GenerationEvent]:
        text = "".join(ready)
        events: list[GenerationEvent] = [TextDelta(text, num_tokens)] if text else []
        if finish is not None:
            self.is_done = True
            events.append(GenerationEnd(finish, self._num_prompt_tokens, self._num_tokens))
        return events

    def _bytes_of(self, token_id: int) -> bytes:
        if token_id in self._vocabulary.control_ids:
            return b""
        return self._vocabulary.pieces[token_id]
