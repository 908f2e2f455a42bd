"""The token seam: what an engine takes and gives. Knows no messages, no templates, no HTTP.

Above it, text becomes ids once and ids become text once, the same way for every engine. Below it,
an engine gets ids and a sampling plan, and gives back ids.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.engine_stats import EngineStats
from core.errors import ContextLengthExceeded
from core.events import FinishReason
from core.grammar import Grammar
from core.lifecycle import EngineStatus, LoadProgress
from core.sampling import SamplingPlan
from core.sampling_defaults import SamplingValues
from core.scores import MAX_TOP_LOGPROBS, ScoredToken
from core.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a loaded model is. `context_window` is in tokens, prompt and answer together.
    `num_slots` sequences run at the same time, and others wait.

    `is_byte_level` tells a byte-level BPE vocabulary from a sentencepiece one. `engine_build` names
    the engine, its version, and the number formats it computes in; `weights_digest` is that of the
    files as they were given (backends/weights_digest.py): the same answers can be expected of the
    same two only. `recommended` is the sampling that the model's metadata recommends, and
    `unsupported_fields` are the request fields that this engine can't honour.
    """

    name: str
    vocabulary: Vocabulary
    context_window: int
    num_slots: int
    chat_template: str | None
    is_byte_level: bool
    engine_build: str
    weights_digest: str
    recommended: SamplingValues = field(default_factory=dict)
    unsupported_fields: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One sequence to continue. `end_ids` end it: the id is given out, then the sequence is over.

    `len(prompt_ids) + max_tokens` must fit the context window: `refuse_too_long` checks that.
    Of two that wait, the lower `priority` goes first. What is computed for a prompt is reused for
    another one only where both have the same `cache_salt`. The output matches `grammar`, and the
    model's eos id, one of `end_ids`, ends it. `num_logprobs` asks for scores of the generated ids
    with so many top ids each, `num_prompt_logprobs` for those of the prompt, which is computed
    anew for that; None asks for no scores, 0 for those of the ids themselves.
    """

    id: str
    prompt_ids: tuple[int, ...]
    max_tokens: int
    end_ids: frozenset[int]
    sampling: SamplingPlan
    priority: int = 0
    cache_salt: str | None = None
    grammar: Grammar | None = None
    num_logprobs: int | None = None
    num_prompt_logprobs: int | None = None

    def __post_init__(self) -> None:
        if not self.prompt_ids:
            raise ValueError("a prompt needs at least one id")
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens {self.max_tokens} is below 1")
        if self.sampling.min_tokens > self.max_tokens:
            raise ValueError(f"min_tokens {self.sampling.min_tokens} is above max_tokens")
        for count in (self.num_logprobs, self.num_prompt_logprobs):
            if count is not None and not 0 <= count <= MAX_TOP_LOGPROBS:
                raise ValueError(f"{count} top logprobs are not 0 to {MAX_TOP_LOGPROBS}")


def refuse_too_long(request: TokenRequest, card: ModelCard) -> None:
    """The seam's own guard: raises ContextLengthExceeded rather than let an engine meet it."""
    total = len(request.prompt_ids) + request.max_tokens
    if total > card.context_window:
        raise ContextLengthExceeded(
            f"the context window holds {card.context_window} tokens; {total} were asked for"
        )


@dataclass(frozen=True, slots=True)
class TokenStep:
    """Ids in the order they were generated; several where the reader lagged behind the engine.

    `finish` is set on the last step alone. STOP means that the last id is one of `end_ids`.
    `num_cached` is how many ids of the prompt were reused, not computed: told on every step.
    `scores` are those of the ids, one each, where asked for. `prompt_scores`, on the first step
    alone, are those of the prompt's ids after the first one, which follows nothing.
    """

    token_ids: tuple[int, ...]
    finish: FinishReason | None = None
    num_cached: int = 0
    scores: tuple[ScoredToken, ...] = ()
    prompt_scores: tuple[ScoredToken, ...] = ()


class Tokenizer(Protocol):
    """Text to ids. Never adds begin-of-text or anything else of its own. Safe from any thread."""

    def encode(self, text: str, *, with_control: bool) -> Sequence[int]:
        """`with_control` reads spelled control tokens as such; otherwise they are plain text."""
        ...


class Backend(Protocol):
    """An engine that continues token sequences. All methods are called from one event loop."""

    async def start(self, report: Callable[[LoadProgress], None]) -> None:
        """Loads the model. Raises ModelLoadError. `report` may be called from any thread."""
        ...

    @property
    def card(self) -> ModelCard:
        """Raises EngineUnavailable before `start` has returned."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises EngineUnavailable before `start` has returned."""
        ...

    @property
    def stats(self) -> EngineStats:
        """As of the last step. Cheap, and never raises: all zero before `start` has returned."""
        ...

    def generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        """Yields steps, the last with `finish`. Closing the generator aborts the sequence.

        Raises EngineUnavailable if the engine takes no requests, ContextLengthExceeded where the
        request does not fit, EngineFailed if the engine dies midway.
        """
        ...

    async def wait_failed(self) -> str:
        """Returns, with the reason in a line, when a started engine has died; else never."""
        ...

    async def close(self) -> None:
        """Ends live sequences with EngineFailed, then all threads and processes. Idempotent."""
        ...


class EngineHost(Protocol):
    """What serving sees of the delegate: a backend with a life of its own."""

    @property
    def status(self) -> EngineStatus: ...

    @property
    def card(self) -> ModelCard: ...

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def stats(self) -> EngineStats: ...

    def generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]: ...
