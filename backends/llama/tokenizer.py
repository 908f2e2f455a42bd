"""Owns text to ids with llama.cpp's own tokenizer. Shares a model's vocabulary, which is read-only.

llama.cpp's tokenizer is const after the load, so several threads may call it while the engine
thread decodes; `close` waits for calls in flight, so that the vocabulary may go.
"""

import threading
from collections.abc import Iterable
from functools import partial
from typing import Protocol

from backends.llama.control_cuts import ControlCuts
from backends.llama.deep_calls import call_with_stack
from backends.undivided_text import LONGEST_STRETCH, is_undivided, refuse_undivided
from core.errors import EngineUnavailable

# A character of one word takes some 330 bytes of stack: thrice as much is to be had for each.
_STACK_BYTES_A_CHARACTER = 1024
# Even a small stack, of 2 MiB, holds the words of a text that is nowhere undivided for longer.
_SURE_CHARACTERS = 4096
_LIKELY_CHARACTERS = (1 << 14, 60_000)


class NativeVocabulary(Protocol):
    """The part of the bindings that is needed here."""

    def tokenize(self, text: bytes, *, parse_control: bool) -> list[int]: ...


class LlamaTokenizer:
    """Implements `backends.base.Tokenizer`. Raises InvalidValue for a text that goes on undivided
    for too long, and EngineUnavailable after `close`.
    """

    def __init__(self, vocabulary: NativeVocabulary, controls: Iterable[str] = ()) -> None:
        """`controls` are the spellings of its control tokens: without them, texts that hold many
        take long.
        """
        self._vocabulary: NativeVocabulary | None = vocabulary
        self._cuts = ControlCuts(controls)
        self._num_calls = 0
        self._changed = threading.Condition()

    def encode(self, text: str, *, with_control: bool) -> list[int]:
        with self._changed:
            if self._vocabulary is None:
                raise EngineUnavailable("the model was unloaded")
            vocabulary = self._vocabulary
            self._num_calls += 1
        try:
            return self._encoded(vocabulary, text, with_control)
        finally:
            with self._changed:
                self._num_calls -= 1
                self._changed.notify_all()

    def _encoded(self, vocabulary: NativeVocabulary, text: str, with_control: bool) -> list[int]:
        refuse_undivided(text)
        ids: list[int] = []
        for piece in self._cuts.pieces(text) if with_control else (text,):
            ids += _piece_ids(vocabulary, piece, with_control)
        return ids

    def close(self) -> None:
        """Refuses new calls and waits for those in flight: the model may be freed then."""
        with self._changed:
            self._vocabulary = None
            self._changed.wait_for(lambda: self._num_calls == 0)


def _piece_ids(vocabulary: NativeVocabulary, piece: str, with_control: bool) -> list[int]:
    raw = piece.encode("utf-8", "replace")
    call = partial(vocabulary.tokenize, raw, parse_control=with_control)
    if not is_undivided(piece, _SURE_CHARACTERS):
        return call()
    # Few texts need a large one, for which there is one place alone.
    likely = (each for each in _LIKELY_CHARACTERS if not is_undivided(piece, each))
    longest = min(next(likely, LONGEST_STRETCH), len(piece)) + 1
    return call_with_stack(longest * _STACK_BYTES_A_CHARACTER, call)
