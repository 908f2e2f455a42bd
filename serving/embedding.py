"""Owns the way from texts to vectors and scores: encode, refuse, compute, finish the numbers.

Knows no HTTP and no engine in particular. What an engine gives is shortened, normalised and
compared here, the same for each.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from backends.embedding import EmbeddingCard, InputEncoder, Vector
from core.errors import InvalidValue
from core.lifecycle import EngineStatus
from serving.backlog import Backlog
from serving.embedding_inputs import NamedInput, TextPair, encode_inputs, named
from serving.embedding_vectors import Matrix, cosines, shortened, sigmoids, stacked
from serving.fair_threads import FairThreads
from serving.turns import Claim, QueueRules

MAX_INPUTS = 65_536
# Below these, encoding and arithmetic cost less than a hand-over to a thread.
_INLINE_CHARACTERS = 4096
_TEXT_THREADS = 2
_INLINE_NUMBERS = 1 << 16


class EmbeddingHost(Protocol):
    """What serving sees of the delegate: an embedding backend with a life of its own."""

    @property
    def status(self) -> EngineStatus: ...

    @property
    def card(self) -> EmbeddingCard: ...

    @property
    def encoder(self) -> InputEncoder: ...

    async def embed(self, request_id: str, inputs: Sequence[tuple[int, ...]]) -> list[Vector]: ...


@dataclass(frozen=True, slots=True)
class Embeddings:
    """A row for each input, in order, and how many tokens were read."""

    rows: Matrix
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Scores:
    """A score for each pair, in order: 0 to 1 of a model that ranks pairs, else a cosine."""

    values: list[float]
    num_tokens: int


@dataclass(frozen=True, slots=True)
class _Read:
    """What the engine made of inputs, in order, and how many tokens those have."""

    vectors: list[Vector]
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Texts to compare, with the field that each side came in. One query goes with all documents,
    or each with its own.
    """

    query_field: str
    queries: tuple[str, ...]
    document_field: str
    documents: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.queries) not in (1, len(self.documents)):
            raise ValueError(f"{len(self.queries)} queries for {len(self.documents)} documents")

    @property
    def pairs(self) -> list[TextPair]:
        queries = self.queries * (len(self.documents) if len(self.queries) == 1 else 1)
        return [TextPair(*both) for both in zip(queries, self.documents, strict=True)]


# Told how many tokens a request's inputs have, when the engine is given them.
OnEncoded = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Caller:
    """Whom the work is for."""

    request_id: str
    account: str
    on_encoded: OnEncoded


class EmbeddingService:
    """The pipeline over one embedding host."""

    def __init__(self, host: EmbeddingHost, queue: QueueRules | None = None) -> None:
        """`queue` bounds what may be under way."""
        self._host = host
        self._backlog = Backlog(queue or QueueRules())
        # The backlog bounds who waits for them.
        self._threads = FairThreads("embedding-texts", _TEXT_THREADS)

    @property
    def status(self) -> EngineStatus:
        return self._host.status

    @property
    def card(self) -> EmbeddingCard:
        """Raises EngineUnavailable until an engine is ready."""
        return self._host.card

    async def embed(
        self,
        request_id: str,
        inputs: Sequence[str | tuple[int, ...]],
        num_dimensions: int | None = None,
        on_encoded: OnEncoded = lambda _: None,
        *,
        account: str = "",
    ) -> Embeddings:
        """`on_encoded` is told nothing of what is refused. Being cancelled aborts. Raises
        RequestError, QueueFull, EngineUnavailable or EngineFailed.
        """
        card = self._host.card
        _refuse_ranker(card)
        _check_dimensions(num_dimensions, card)
        caller = _Caller(request_id, account, on_encoded)
        read = await self._read(caller, named("input", inputs))
        vectors = read.vectors
        if len(vectors) * card.num_dimensions <= _INLINE_NUMBERS:
            rows = finished_rows(vectors, num_dimensions, card)
        else:
            rows = await asyncio.to_thread(finished_rows, vectors, num_dimensions, card)
        return Embeddings(rows, read.num_tokens)

    async def compare(
        self,
        request_id: str,
        texts: Comparison,
        on_encoded: OnEncoded = lambda _: None,
        *,
        account: str = "",
    ) -> Scores:
        """As `embed`. How alike the two of each pair are, or how relevant the document is."""
        caller = _Caller(request_id, account, on_encoded)
        if self._host.card.ranks_pairs:
            return await self._rank(caller, texts)
        return await self._compare_vectors(caller, texts)

    async def _rank(self, caller: _Caller, texts: Comparison) -> Scores:
        inputs = named(texts.document_field, texts.pairs)
        read = await self._read(caller, inputs)
        return Scores(sigmoids(stacked(read.vectors, 1)), read.num_tokens)

    async def _compare_vectors(self, caller: _Caller, texts: Comparison) -> Scores:
        inputs = named(texts.query_field, texts.queries)
        if len(inputs) == 1:
            inputs = [NamedInput(texts.query_field, texts.queries[0])]
        inputs += named(texts.document_field, texts.documents)
        num_queries, num_numbers = len(texts.queries), self._host.card.num_dimensions
        read = await self._read(caller, inputs)
        vectors = read.vectors
        values = await asyncio.to_thread(
            lambda: cosines(
                stacked(vectors[:num_queries], num_numbers),
                stacked(vectors[num_queries:], num_numbers),
            )
        )
        return Scores(values, read.num_tokens)

    async def _read(self, caller: _Caller, inputs: list[NamedInput]) -> _Read:
        with self._backlog.admitted(len(inputs), caller.account) as tell:
            encoded = await self._encode(inputs, caller.account)
            num_tokens = sum(map(len, encoded))
            _ = self._host.card  # raises where the engine has gone meanwhile
            tell(num_tokens)
            caller.on_encoded(num_tokens)
            return _Read(await self._host.embed(caller.request_id, encoded), num_tokens)

    async def _encode(self, inputs: list[NamedInput], account: str) -> list[tuple[int, ...]]:
        encode = partial(encode_inputs, inputs, self._host.encoder, self._host.card)
        num_characters = sum(each.num_characters for each in inputs)
        if num_characters <= _INLINE_CHARACTERS:
            return encode()
        return await self._threads.run(Claim(account, 0, num_characters), encode)


def finished_rows(
    vectors: Sequence[Vector], num_dimensions: int | None, card: EmbeddingCard
) -> Matrix:
    """What the engine gave, as clients get it. Raises EngineFailed."""
    rows = stacked(vectors, card.num_dimensions)
    return shortened(rows, num_dimensions, is_normalized=card.is_normalized)


def _refuse_ranker(card: EmbeddingCard) -> None:
    if card.ranks_pairs:
        raise InvalidValue(
            f"{card.name} ranks pairs of texts and makes no vectors: use /v1/rerank or /v1/score",
            param="model",
        )


def _check_dimensions(num_dimensions: int | None, card: EmbeddingCard) -> None:
    if num_dimensions is not None and not 1 <= num_dimensions <= card.num_dimensions:
        raise InvalidValue(
            f"dimensions is {num_dimensions}; allowed are 1 to {card.num_dimensions}, what"
            f" {card.name} has",
            param="dimensions",
        )
