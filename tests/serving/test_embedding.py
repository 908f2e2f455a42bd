"""Texts become vectors and scores, the same for every engine; what can't be taken is refused."""

import asyncio

import numpy as np
import pytest

from backends.embedding import Vector
from backends.scripted_embedding import (
    BEGIN_ID,
    SEPARATOR_ID,
    ByteEncoder,
    ScriptedEmbedding,
    byte_counts,
    shared_letters,
)
from core.errors import (
    ContextLengthExceeded,
    EngineFailed,
    EngineUnavailable,
    InvalidValue,
    QueueFull,
)
from core.lifecycle import EngineState, EngineStatus
from serving.embedding import Comparison, Embeddings, EmbeddingService
from serving.embedding_inputs import MAX_TOTAL_TOKENS
from serving.embedding_vectors import cosines
from serving.turns import QueueRules

NUM_DIMENSIONS, WINDOW = 16, 64
NUM_SPECIAL = 2


class Host(ScriptedEmbedding):
    """A scripted backend as serving sees a delegate."""

    @property
    def status(self) -> EngineStatus:
        return EngineStatus(EngineState.READY, "scripted")


async def service_over(host: Host) -> EmbeddingService:
    await host.start(lambda _: None)
    return EmbeddingService(host)


def expected(text: str, num_dimensions: int = NUM_DIMENSIONS) -> Vector:
    """By definition: the first numbers of the whole vector, at length 1."""
    counts = byte_counts(ByteEncoder().encode(text), NUM_DIMENSIONS)[:num_dimensions]
    unit: Vector = counts / np.linalg.norm(counts)
    return unit


async def test_each_text_gets_its_vector_in_order_and_tokens_are_counted() -> None:
    service = await service_over(Host())
    texts = ["alpha", "b", "gamma rays", "b"]
    found = await service.embed("one", texts)
    for row, text in zip(found.rows, texts, strict=True):
        np.testing.assert_allclose(row, expected(text), atol=1e-6)
    assert found.num_tokens == sum(len(text) + NUM_SPECIAL for text in texts)


async def test_ids_are_taken_as_they_are() -> None:
    host = Host()
    service = await service_over(host)
    ids = (BEGIN_ID, *b"alpha", SEPARATOR_ID)
    by_ids = await service.embed("one", [ids, (7,)])
    assert host.calls == [[ids, (7,)]]
    assert by_ids.num_tokens == len(ids) + 1
    np.testing.assert_array_equal(by_ids.rows[0], (await service.embed("two", ["alpha"])).rows[0])


async def test_vectors_have_length_1_where_the_model_says_so_even_if_the_engine_is_off() -> None:
    service = await service_over(Host(transform=lambda vector: vector * np.float32(1.01)))
    found = await service.embed("one", ["alpha", "beta"])
    np.testing.assert_allclose(np.linalg.norm(found.rows, axis=1), 1.0, atol=1e-12)


async def test_vectors_of_another_model_keep_their_length() -> None:
    service = await service_over(Host(is_normalized=False))
    found = await service.embed("one", ["aaa"], 8)
    np.testing.assert_array_equal(found.rows[0], byte_counts(ByteEncoder().encode("aaa"), 16)[:8])


@pytest.mark.parametrize("num_dimensions", [1, 7, 16])
async def test_fewer_dimensions_are_the_first_ones_at_length_1(num_dimensions: int) -> None:
    service = await service_over(Host())
    found = await service.embed("one", ["pqrs"], num_dimensions)
    assert found.rows.shape == (1, num_dimensions)
    np.testing.assert_allclose(found.rows[0], expected("pqrs", num_dimensions), atol=1e-6)


async def test_a_row_of_zeros_stays_one() -> None:
    service = await service_over(Host(transform=np.zeros_like))
    assert not (await service.embed("one", ["a"])).rows.any()


@pytest.mark.parametrize("num_dimensions", [0, -1, 17])
async def test_other_dimensions_are_refused_before_any_work(num_dimensions: int) -> None:
    host = Host()
    service = await service_over(host)
    with pytest.raises(InvalidValue, match=rf"dimensions is {num_dimensions}; allowed are 1 to 16"):
        await service.embed("one", ["a"], num_dimensions)
    assert host.calls == []


async def test_an_input_of_exactly_the_window_fits_and_one_more_is_refused_with_the_numbers() -> (
    None
):
    host = Host()
    service = await service_over(host)
    fitting = "x" * (WINDOW - NUM_SPECIAL)
    assert (await service.embed("one", [fitting])).num_tokens == WINDOW
    with pytest.raises(ContextLengthExceeded, match=r"input\[1\] has 65 tokens.*holds 64"):
        await service.embed("two", ["a", fitting + "x"])
    assert len(host.calls) == 1


@pytest.mark.parametrize(
    ("ids", "wrong"),
    [((-1,), "-1"), ((3, SEPARATOR_ID + 1), "258"), ((2**31,), str(2**31))],
)
async def test_ids_that_the_model_has_not_are_refused(ids: tuple[int, ...], wrong: str) -> None:
    host = Host()
    service = await service_over(host)
    with pytest.raises(InvalidValue, match=rf"input\[1\] holds the id {wrong};.*0 to 257"):
        await service.embed("one", [(1,), ids])
    assert host.calls == []


async def test_an_empty_input_is_refused() -> None:
    service = await service_over(Host())
    with pytest.raises(InvalidValue, match=r"input\[0\] is empty"):
        await service.embed("one", [()])


async def test_all_inputs_together_have_a_bound() -> None:
    host = Host(context_window=MAX_TOTAL_TOKENS)
    service = await service_over(host)
    half = (1,) * (MAX_TOTAL_TOKENS // 2)
    assert (await service.embed("one", [half, half])).num_tokens == MAX_TOTAL_TOKENS
    with pytest.raises(ContextLengthExceeded, match=rf"input\[2\] have {MAX_TOTAL_TOKENS + 1}"):
        await service.embed("two", [half, half, (1,)])
    assert len(host.calls) == 1


async def test_many_long_texts_are_encoded_and_finished_as_few_short_ones_are() -> None:
    service = await service_over(Host(num_dimensions=64))
    texts = [f"text {index} {'x' * (index % 50)}" for index in range(2048)]
    found = await service.embed("one", texts)
    alone = await service.embed("two", [texts[1999]])
    np.testing.assert_array_equal(found.rows[1999], alone.rows[0])


@pytest.mark.parametrize("number", [np.nan, np.inf])
async def test_a_number_that_json_has_not_is_the_engines_failure(number: float) -> None:
    service = await service_over(Host(transform=lambda vector: np.where(vector > 0, number, 0.0)))
    with pytest.raises(EngineFailed, match="finite"):
        await service.embed("one", ["a"])
    with pytest.raises(EngineFailed, match="finite"):
        await service.compare("two", Comparison("query", ("a",), "documents", ("b",)))


async def test_a_vector_of_another_length_is_the_engines_failure() -> None:
    service = await service_over(Host(transform=lambda vector: vector[:-1]))
    with pytest.raises(EngineFailed):
        await service.embed("one", ["a"])


async def test_one_text_is_compared_with_all_and_computed_once() -> None:
    host = Host()
    service = await service_over(host)
    scores = await service.compare("one", Comparison("a", ("abc",), "b", ("abc", "xyz", "abd")))
    wanted = [float(expected("abc") @ expected(text)) for text in ("abc", "xyz", "abd")]
    assert scores.values == pytest.approx(wanted, abs=1e-6)
    assert scores.values[0] == pytest.approx(1.0)
    assert [len(call) for call in host.calls] == [4]
    assert scores.num_tokens == 4 * (3 + NUM_SPECIAL)


async def test_texts_are_compared_one_with_one() -> None:
    service = await service_over(Host(is_normalized=False))
    texts = Comparison("a", ("abc", "xyz"), "b", ("abd", "xyz"))
    scores = await service.compare("one", texts)
    assert scores.values == pytest.approx([float(expected("abc") @ expected("abd")), 1.0])
    assert max(scores.values) <= 1.0


def test_texts_that_can_not_be_paired_are_a_bug() -> None:
    with pytest.raises(ValueError, match="2 queries for 3 documents"):
        Comparison("a", ("x", "y"), "b", ("x", "y", "z"))


async def test_a_model_that_ranks_pairs_reads_them_together_and_scores_0_to_1() -> None:
    host = Host(ranks_pairs=True)
    service = await service_over(host)
    scores = await service.compare("one", Comparison("query", ("abc",), "documents", ("abc", "z")))
    pairs = [ByteEncoder().encode_pair("abc", document) for document in ("abc", "z")]
    assert host.calls == [pairs]
    logits = [shared_letters(pair) for pair in pairs]
    assert scores.values == pytest.approx([1 / (1 + np.exp(-logit)) for logit in logits])
    assert scores.num_tokens == sum(map(len, pairs))


@pytest.mark.parametrize(("logit", "wanted"), [(1e30, 1.0), (-1e30, 0.0), (0.0, 0.5)])
async def test_a_large_logit_overflows_nothing(logit: float, wanted: float) -> None:
    host = Host(ranks_pairs=True, transform=lambda vector: np.full_like(vector, logit))
    service = await service_over(host)
    scores = await service.compare("one", Comparison("query", ("a",), "documents", ("b",)))
    assert scores.values == [wanted]


async def test_a_model_that_ranks_pairs_makes_no_vectors() -> None:
    service = await service_over(Host(ranks_pairs=True))
    with pytest.raises(InvalidValue, match="use /v1/rerank or /v1/score"):
        await service.embed("one", ["a"])


@pytest.mark.parametrize(("ranks_pairs", "num_tokens"), [(False, 102), (True, 104)])
async def test_a_document_that_is_too_long_is_named(ranks_pairs: bool, num_tokens: int) -> None:
    service = await service_over(Host(ranks_pairs=ranks_pairs))
    texts = Comparison("query", ("q",), "documents", ("a", "x" * 100))
    with pytest.raises(ContextLengthExceeded, match=rf"documents\[1\] has {num_tokens} tokens"):
        await service.compare("one", texts)


async def test_a_query_that_is_too_long_is_named() -> None:
    service = await service_over(Host())
    with pytest.raises(ContextLengthExceeded, match="query has 102 tokens") as caught:
        await service.compare("one", Comparison("query", ("x" * 100,), "documents", ("a",)))
    assert caught.value.param == "query"


async def test_a_model_that_is_not_loaded_is_unavailable() -> None:
    service = EmbeddingService(Host())
    with pytest.raises(EngineUnavailable):
        await service.embed("one", ["a"])
    with pytest.raises(EngineUnavailable):
        await service.compare("two", Comparison("query", ("a",), "documents", ("b",)))


async def test_being_cancelled_ends_the_engines_call() -> None:
    reached = asyncio.Event()

    def gate() -> asyncio.Future[None]:
        reached.set()
        return asyncio.get_running_loop().create_future()

    host = Host(gate=gate)
    work = asyncio.create_task((await service_over(host)).embed("one", ["a"]))
    await reached.wait()
    assert host.num_live == 1
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert host.num_live == 0


def test_no_cosine_is_above_1_by_rounding() -> None:
    rows = np.random.default_rng(1).normal(size=(500, 33))
    found = cosines(rows, rows * 3.7)
    assert max(found) == 1.0
    assert min(found) == pytest.approx(1.0)


@pytest.mark.parametrize(("num_characters", "words"), [(64 * 64, "tokens"), (64 * 64 + 1, "char")])
async def test_what_can_not_fit_is_refused_before_it_is_encoded(
    num_characters: int, words: str
) -> None:
    service = await service_over(Host())
    with pytest.raises(ContextLengthExceeded, match=rf"input\[1\] has \d+ {words}"):
        await service.embed("r", ["a", "x" * num_characters])


@pytest.mark.parametrize("rules", [QueueRules(max_waiting=0), QueueRules(max_tokens=2)])
async def test_what_is_refused_is_neither_encoded_nor_told_of(rules: QueueRules) -> None:
    reached, may_end = asyncio.Event(), asyncio.get_running_loop().create_future()

    def gate() -> asyncio.Future[None]:
        reached.set()
        return may_end

    host, told = Host(gate=gate), list[int]()
    await host.start(lambda _: None)
    service = EmbeddingService(host, rules)
    under_way = asyncio.create_task(service.embed("one", ["a"], None, told.append))
    await reached.wait()
    assert told == [1 + NUM_SPECIAL]
    too_long = "x" * (WINDOW + 1)
    for texts in (["b"], [too_long]):
        with pytest.raises(QueueFull) as refused:
            await service.embed("two", texts, None, told.append)
        assert refused.value.retry_after_s >= 1
    may_end.set_result(None)
    await under_way
    with pytest.raises(ContextLengthExceeded):
        await service.embed("three", [too_long], None, told.append)
    comparison = Comparison("query", (too_long,), "documents", ("a",))
    with pytest.raises(ContextLengthExceeded):
        await service.compare("four", comparison, told.append)
    assert told == [1 + NUM_SPECIAL]
    await service.embed("five", ["b"], None, told.append)
    assert len(host.calls) == 2


async def test_what_an_engine_that_has_gone_was_not_given_is_not_told_of() -> None:
    host, told = Host(), list[int]()
    service = await service_over(host)
    working = asyncio.create_task(service.embed("one", ["a" * 60] * 100, None, told.append))
    await asyncio.sleep(0)
    await host.close()
    with pytest.raises(EngineUnavailable):
        await working
    assert told == []


async def test_a_key_that_has_more_than_it_leaves_free_waits_and_another_does_not() -> None:
    may_end = asyncio.get_running_loop().create_future()
    host = Host(gate=lambda: may_end)
    await host.start(lambda _: None)
    service = EmbeddingService(host, QueueRules(max_waiting=10))

    def asked(account: str, count: int) -> asyncio.Task[Embeddings]:
        return asyncio.create_task(service.embed("x", ["a"] * count, account=account))

    first, second = asked("greedy", 5), asked("greedy", 1)
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="6 inputs are under way, 6 of them this key's"):
        await asked("greedy", 1)
    others = [asked("modest", 1), asked("", 2)]
    await asyncio.sleep(0)
    may_end.set_result(None)
    assert [len((await each).rows) for each in (first, second, *others)] == [5, 1, 1, 2]
    assert len((await asked("greedy", 50)).rows) == 50


async def test_one_request_of_a_key_leaves_a_place_however_large_it_is() -> None:
    may_end = asyncio.get_running_loop().create_future()
    host = Host(gate=lambda: may_end)
    await host.start(lambda _: None)
    service = EmbeddingService(host, QueueRules(max_waiting=10, max_tokens=20))
    large = asyncio.create_task(service.embed("x", ["a"] * 50, account="greedy"))
    await asyncio.sleep(0)
    other = asyncio.create_task(service.embed("x", ["a"], account="modest"))
    await asyncio.sleep(0)
    may_end.set_result(None)
    assert [len((await each).rows) for each in (large, other)] == [50, 1]


async def test_tokens_are_bounded_of_those_that_come_together_too() -> None:
    may_end = asyncio.get_running_loop().create_future()
    host = Host(gate=lambda: may_end)
    await host.start(lambda _: None)
    service = EmbeddingService(host, QueueRules(max_tokens=2000))
    texts = ["a" * (WINDOW - NUM_SPECIAL)] * 80
    asked = [asyncio.create_task(service.embed("x", texts)) for _ in range(4)]
    done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
    while len(done) < 3:
        more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= more
    assert [str(each.exception()).count("tokens are under way") for each in done] == [1] * 3
    may_end.set_result(None)
    (accepted,) = waiting
    assert len((await accepted).rows) == 80
