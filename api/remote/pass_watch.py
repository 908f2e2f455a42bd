"""Owns what is known of an answer that another server makes while it passes. Never any text."""

import re
import time
from enum import Enum, auto
from typing import Annotated

import msgspec
from starlette.requests import Request

from api.request_watch import BYTES_OF_TOKEN, WatchLabels
from api.visit import visit_of
from core.observation import AnswerSummary, Outcome

_USAGE = b'"usage"'
# Servers write it last. It is not looked for in vectors that stand before it.
_MAX_TAIL_BYTES = 4096
# As a key of JSON: within a text, its quotes have backslashes before them.
_FINISH = re.compile(rb'(?<!\\)"finish_reason"\s*:\s*"([a-z_]{1,32})"')
_MAX_SEARCHED_BYTES = 1 << 20
_MOST_CHOICES = 1024
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0
    prompt_tokens_details: msgspec.Raw = msgspec.Raw()

    @property
    def num_reused(self) -> int:
        """What else is wrong with the details spoils no other number."""
        try:
            return _decode_details(self.prompt_tokens_details).cached_tokens or 0
        except (msgspec.DecodeError, RecursionError):
            return 0


_decode = msgspec.json.Decoder(_Usage).decode
_decode_details = msgspec.json.Decoder(_PromptDetails).decode


class AnswerKind(Enum):
    """TEXT comes token by token, VECTORS at once; NONE is no answer of a model."""

    TEXT = auto()
    VECTORS = auto()
    NONE = auto()


class PassWatch:
    """Counts and times of one. In a stream, an event is taken for a token where the server tells
    no numbers.
    """

    def __init__(
        self, request: Request, labels: WatchLabels, num_body_bytes: int, kind: AnswerKind
    ) -> None:
        self._visit = visit_of(request)
        self._labels = labels
        self._kind = kind
        # A prompt that nobody counts must not go round its key's limit.
        self._least_prompt = num_body_bytes // BYTES_OF_TOKEN if labels.is_limited else 0
        self._num_events = 0
        self._first_at: float | None = None
        self._last_at = 0.0
        self._tail = b""
        self._finishes: list[str] = []
        self._is_over = False

    def see(self, piece: bytes) -> None:
        """A whole body, or events of a stream."""
        now = time.monotonic()
        num_events = piece.count(b"\n\n")
        self._num_events += num_events
        if self._first_at is None:
            self._first_at = now
        elif num_events:
            for observer in self._visit.observers:
                observer.answer_grew(num_events, now - self._last_at, self._labels.model)
        self._last_at = now
        if len(piece) <= _MAX_SEARCHED_BYTES and len(self._finishes) < _MOST_CHOICES:
            self._finishes += [each.decode() for each in _FINISH.findall(piece)]
        found = piece.rfind(_USAGE, max(len(piece) - _MAX_TAIL_BYTES, 0))
        if found >= 0:
            self._tail = piece[found + len(_USAGE) :]

    def end(self, upstream: str, outcome: Outcome) -> None:
        """The first one told is the one that counts."""
        if self._is_over:
            return
        self._is_over = True
        if self._kind is AnswerKind.NONE:
            return
        least_prompt = 0 if self._first_at is None else self._least_prompt
        told = self._usage()
        usage = told or _Usage(least_prompt, self._num_events)
        labels = self._labels
        first_at = self._first_at if self._kind is AnswerKind.TEXT else None
        summary = AnswerSummary(
            id=labels.id,
            account=labels.account,
            model=labels.model,
            outcome=outcome,
            finish_reasons=tuple(self._finishes[:_MOST_CHOICES]),
            num_choices=max(len(self._finishes[:_MOST_CHOICES]), 1),
            num_prompt_tokens=usage.prompt_tokens,
            num_completion_tokens=usage.completion_tokens,
            num_reused=usage.num_reused,
            first_token_s=None if first_at is None else first_at - labels.arrived_at,
            total_s=time.monotonic() - labels.arrived_at,
            upstream=upstream,
            is_counted=told is not None,
        )
        self._visit.tell(summary)

    def _usage(self) -> _Usage | None:
        """The last one told: it is the server's, and may be anything."""
        text = self._tail.lstrip().removeprefix(b":")
        depth = 0
        for index, byte in enumerate(text):
            depth += (byte == _OPENS) - (byte == _CLOSES)
            if byte == _CLOSES and depth == 0:
                return _read(text[: index + 1])
        return None


_OPENS, _CLOSES = b"{}"


def _read(text: bytes) -> _Usage | None:
    try:
        return _decode(text)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        return None
