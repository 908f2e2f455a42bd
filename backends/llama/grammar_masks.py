"""Owns which ids a grammar allows next, for sequences under way. Alone in calling llguidance.

Everything that takes time runs in two small pools of threads: a grammar is compiled before its
sequence is submitted, and the mask after an id is computed while the next step runs. Two, so that
masks, for which steps wait, never wait for a grammar. Compiles as vLLM's guidance backend does, so
that both engines allow the same ids.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backends.base import Tokenizer
from core.errors import EngineFailed
from core.grammar import Grammar, GrammarKind
from core.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_NUM_THREADS = 2
_WORD_BITS = 32

Mask = NDArray[np.bool_]


class GrammarMask:
    """Follows one sequence. `mask` and `accept` by turns, from one thread. Making one computes the
    first mask, and raises EngineFailed where that fails.
    """

    def __init__(self, pool: ThreadPoolExecutor, matcher: "LLMatcher", num_ids: int) -> None:
        self._pool = pool
        self._matcher = matcher
        self._words = np.zeros((1, -(-num_ids // _WORD_BITS)), dtype=np.int32)
        self._num_ids = num_ids
        self._next: Future[Mask] = Future()
        self._next.set_result(self._compute())

    def mask(self) -> Mask:
        """(vocabulary,): True for what may come next. Waits for it. Raises EngineFailed."""
        return self._next.result()

    def accept(self, token_id: int) -> None:
        """Begins to compute what may follow."""
        self._next = self._pool.submit(self._advance, token_id)

    def _advance(self, token_id: int) -> Mask:
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token_id)
        return self._compute()

    def _compute(self) -> Mask:
        """Where the grammar is complete, or too complex to go on with, the end id alone."""
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, self._words)
        if self._matcher.is_error():
            raise EngineFailed(f"the grammar failed: {_one_line(self._matcher.get_error())}")
        bits = np.unpackbits(self._words.view(np.uint8), bitorder="little")
        return bits[: self._num_ids].view(np.bool_)


class GrammarCompiler:
    """For one loaded model. `start` may be called from any thread; close it once."""

    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
        self._vocabulary = vocabulary
        self._tokenizer = tokenizer
        self._compiling = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="grammar")
        self._masking = ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="mask")
        self._making: Future[LLTokenizer] | None = None

    def start(self, grammar: Grammar) -> Future[GrammarMask]:
        """The first mask of a sequence, once it is computed, or EngineFailed. From one thread."""
        if self._making is None:
            self._making = self._compiling.submit(self._make_tokenizer)
        return self._compiling.submit(self._compile, self._making, grammar)

    def close(self) -> None:
        for pool in (self._compiling, self._masking):
            pool.shutdown(wait=True, cancel_futures=True)

    def _make_tokenizer(self) -> "LLTokenizer":
        import llguidance

        tokens = _Tokens(self._vocabulary, self._tokenizer)
        return llguidance.LLTokenizer(llguidance.TokenizerWrapper(tokens))

    def _compile(self, making: "Future[LLTokenizer]", grammar: Grammar) -> GrammarMask:
        import llguidance

        matcher = llguidance.LLMatcher(making.result(), _serialized(grammar), log_level=0)
        if matcher.is_error():
            raise EngineFailed(f"the grammar failed: {_one_line(matcher.get_error())}")
        return GrammarMask(self._masking, matcher, len(self._vocabulary))


class _Tokens:
    """What llguidance asks of a tokenizer."""

    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
        if vocabulary.eos_id is None:
            raise EngineFailed("the model has no end-of-text token, which a grammar needs")
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self.eos_token_id = vocabulary.eos_id
        self.bos_token_id = vocabulary.bos_id
        self.special_token_ids = sorted(vocabulary.control_ids)

    @cached_property
    def tokens(self) -> Sequence[bytes]:
        return list(self._vocabulary.pieces)

    def __call__(self, text: Any) -> list[int]:
        spelled = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return list(self._tokenizer.encode(spelled, with_control=False))


def _serialized(grammar: Grammar) -> str:
    import llguidance

    if grammar.kind is GrammarKind.JSON_SCHEMA:
        return llguidance.LLMatcher.grammar_from_json_schema(
            grammar.text, defaults={"whitespace_flexible": True}
        )
    kind = "regex" if grammar.kind is GrammarKind.REGEX else "grammar"
    return str(llguidance.grammar_from(kind, grammar.text))  # type: ignore[arg-type]


def _one_line(reason: str) -> str:
    return " ".join(reason.split())[:300]
