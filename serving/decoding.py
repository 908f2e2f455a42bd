"""Turns the ids of one answer into text events: pieces, whole characters, stop strings, scores.

Knows no engine. The same ids give the same events however they are cut into steps.
"""

from dataclasses import dataclass
from enum import Enum, auto

from backends.base import TokenStep
from core.events import FinishReason, GenerationEnd, GenerationEvent, TextDelta
from core.scores import ScoredToken
from core.vocabulary import Vocabulary
from serving.stops import Scanned, StopScanner
from serving.utf8 import Utf8Stream


@dataclass(frozen=True, slots=True)
class TextRules:
    """What becomes of ids as text.

    Stop strings are looked for in what follows the first `min_tokens` ids: those of the request and
    those of the chat format, of which nobody is told. With `keeps_stop`, the stop string or end id
    that ended an answer is a part of its text. Control ids have text, their spelling, only with
    `shows_control`, or where they are among the `shown_ids`.
    """

    stop: tuple[str, ...] = ()
    format_stop: tuple[str, ...] = ()
    min_tokens: int = 0
    keeps_stop: bool = False
    shows_control: bool = False
    shown_ids: frozenset[int] = frozenset()


class Scanning(Enum):
    """In what text stop strings are looked for. PAST_SPACE: not in white space that comes first.
    FORMAT: for those of the chat format alone.
    """

    ALL = auto()
    PAST_SPACE = auto()
    FORMAT = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class _Placed:
    """A score, and the place in the answer's text where its id's text begins."""

    start: int
    score: ScoredToken


class AnswerDecoder:
    """Feed steps until `is_done`.

    Scores go out with the text that their ids begin: those of ids that a stop string cut off, or of
    an end id that is no part of the text, don't go out at all.
    """

    def __init__(self, vocabulary: Vocabulary, rules: TextRules, num_prompt_tokens: int) -> None:
        self._vocabulary = vocabulary
        self._rules = rules
        self._utf8 = Utf8Stream()
        self._every_stop = StopScanner((*rules.stop, *rules.format_stop))
        self._format_stop = StopScanner(rules.format_stop)
        self._stops = self._every_stop
        self._has_stops = bool(rules.stop or rules.format_stop)
        self._found_stop: str | None = None
        self._num_prompt_tokens = num_prompt_tokens
        self._num_cached = 0
        self._num_decoded = 0
        self._num_released = 0
        self._placed: list[_Placed] = []
        self.scanning = Scanning.ALL
        self.num_tokens = 0
        self.is_done = False

    @property
    def is_whole(self) -> bool:
        """Whether no character is held back of which some bytes have come."""
        return self._utf8.is_whole

    def cut(self) -> GenerationEnd:
        """The end, where the answer is over without an end id; what is held back is dropped."""
        return self._end(FinishReason.STOP)

    def feed(self, step: TokenStep) -> list[GenerationEvent]:
        """The events of one step, GenerationEnd last where the answer is over."""
        self._num_cached = step.num_cached
        if self._has_stops or step.scores or self._placed:
            return self._piecewise(step)
        pieces = [self._bytes_of(token_id) for token_id in step.token_ids]
        if step.finish is FinishReason.STOP and not self._rules.keeps_stop:
            pieces[-1] = b""
        self.num_tokens += len(pieces)
        text = self._utf8.feed(b"".join(pieces))
        self._num_decoded += len(text)
        self._num_released += len(text)
        if step.finish is not None:
            text += self._utf8.flush()
        return self._events(text, step.finish)

    def _piecewise(self, step: TokenStep) -> list[GenerationEvent]:
        """Piece by piece, so that a stop string ends the answer at the same token wherever steps
        are cut. What was held back until the end may complete one too.
        """
        ready: list[str] = []
        last = len(step.token_ids) - 1
        for index, token_id in enumerate(step.token_ids):
            is_cut = index == last and step.finish is FinishReason.STOP and self._cuts_end
            if step.scores and not is_cut:
                self._placed.append(_Placed(self._num_decoded, step.scores[index]))
            self.num_tokens += 1
            text = self._utf8.feed(b"" if is_cut else self._bytes_of(token_id))
            if self._stopped(text, ready):
                return self._ended("".join(ready))
        if step.finish is None:
            return self._events(self._released("".join(ready)), None)
        if self._stopped(self._utf8.flush(), ready):
            return self._ended("".join(ready))
        ready.append(self._stops.flush())
        self._num_released = self._num_decoded + 1
        return self._events("".join(ready), step.finish)

    @property
    def _cuts_end(self) -> bool:
        return not self._rules.keeps_stop

    def _stopped(self, text: str, ready: list[str]) -> bool:
        """Adds what may go out. Whether a stop string was found."""
        self._num_decoded += len(text)
        is_too_early = self.num_tokens <= self._rules.min_tokens
        if is_too_early or self.scanning is Scanning.NOTHING:
            ready.append(self._stops.flush() + text)
            return False
        if self.scanning is Scanning.PAST_SPACE:
            body = text.lstrip()
            ready.append(text[: len(text) - len(body)])
            text = body
        scanned = self._scanned(text)
        ready.append(scanned.text)
        if scanned.stop is None:
            return False
        self._found_stop = scanned.stop
        if self._rules.keeps_stop:
            ready.append(scanned.stop)
        return True

    def _scanned(self, text: str) -> Scanned:
        stops = self._format_stop if self.scanning is Scanning.FORMAT else self._every_stop
        if stops is not self._stops:
            text, self._stops = self._stops.flush() + text, stops
        return stops.feed(text)

    def _ended(self, text: str) -> list[GenerationEvent]:
        return self._events(self._released(text), FinishReason.STOP)

    def _released(self, text: str) -> str:
        self._num_released += len(text)
        return text

    def _events(self, text: str, finish: FinishReason | None) -> list[GenerationEvent]:
        scores = self._scores() if self._placed and (text or finish is not None) else ()
        events: list[GenerationEvent] = [TextDelta(text, scores)] if text or scores else []
        if finish is not None:
            events.append(self._end(finish))
        return events

    def _end(self, finish: FinishReason) -> GenerationEnd:
        self.is_done = True
        return GenerationEnd(
            finish,
            self._num_prompt_tokens,
            self.num_tokens,
            self._num_cached,
            stop=self._found_stop if self._found_stop in self._rules.stop else None,
        )

    def _scores(self) -> tuple[ScoredToken, ...]:
        """Those of ids whose text has begun to go out."""
        count = sum(placed.start < self._num_released for placed in self._placed)
        ready, self._placed = self._placed[:count], self._placed[count:]
        return tuple(placed.score for placed in ready)

    def _bytes_of(self, token_id: int) -> bytes:
        is_hidden = token_id in self._vocabulary.control_ids and not self._rules.shows_control
        if is_hidden and token_id not in self._rules.shown_ids:
            return b""
        return self._vocabulary.pieces[token_id]
