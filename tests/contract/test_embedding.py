"""What every embedding backend promises, whichever engine is below the seam."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from backends.embedding import EmbeddingBackend
from core.errors import (
    ContextLengthExceeded,
    EngineFailed,
    EngineUnavailable,
    InvalidValue,
    JarvisError,
)
from core.lifecycle import LoadProgress
from tests.embedding_engines import EMBEDDERS, WINDOW, EmbeddingEngine, cosines
from tests.processes import descendants

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

SENTENCES = [f"Sentence {i} is about {'cats and ' * (i % 9)}dogs." for i in range(256)]
SAME = 0.999999


@pytest.fixture(params=EMBEDDERS)
def embedder(request: pytest.FixtureRequest) -> EmbeddingEngine:
    started = request.getfixturevalue(f"{request.param}_embedder")
    assert isinstance(started, EmbeddingEngine)
    return started


@pytest.fixture(params=EMBEDDERS)
def fresh(request: pytest.FixtureRequest, cache: Path) -> EmbeddingEngine:
    """Not started yet."""
    return EmbeddingEngine(request.param, EMBEDDERS[request.param](cache))


def threads() -> set[str]:
    names = ("llama-embedder", "vllm-engine")
    return {thread.name for thread in threading.enumerate() if thread.name.startswith(names)}


async def test_a_card_tells_what_the_model_is(embedder: EmbeddingEngine) -> None:
    card = embedder.backend.card
    assert card.name == "all-MiniLM-L6-v2"
    assert (card.num_dimensions, card.context_window, card.vocabulary_size) == (384, WINDOW, 30522)
    assert card.is_normalized
    assert not card.ranks_pairs
    assert card.engine_build
    assert card.weights_digest


async def test_256_inputs_in_one_call_keep_their_order_and_length_1(
    embedder: EmbeddingEngine,
) -> None:
    vectors = await embedder.embed_texts(SENTENCES)
    assert {vector.shape for vector in vectors} == {(384,)}
    assert {vector.dtype for vector in vectors} == {np.dtype(np.float32)}
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    chosen = [0, 100, 255]
    alone = [(await embedder.embed_texts([SENTENCES[index]]))[0] for index in chosen]
    assert cosines(alone, [vectors[index] for index in chosen]).min() > SAME
    # Neighbours tell each other apart, so that an order that slipped by one would show.
    assert cosines(vectors[:-1], vectors[1:]).max() < SAME


async def test_an_input_of_exactly_the_window_is_computed_and_one_more_is_refused(
    embedder: EmbeddingEngine,
) -> None:
    cls, sep = embedder.ids("")
    full = (cls, *(1000 + i for i in range(WINDOW - 2)), sep)
    vectors = await embedder.embed([full, embedder.ids("short"), full])
    assert cosines(vectors[:1], vectors[2:]).min() > SAME
    with pytest.raises(ContextLengthExceeded):
        await embedder.embed([(*full, sep)])


@pytest.mark.parametrize("wrong", [(), (-1,), (30522,)])
async def test_inputs_an_engine_could_die_of_are_refused_and_it_lives_on(
    embedder: EmbeddingEngine, wrong: tuple[int, ...]
) -> None:
    with pytest.raises(InvalidValue):
        await embedder.embed([embedder.ids("fine"), wrong])
    assert len(await embedder.embed_texts(["still there"])) == 1


async def test_an_input_of_one_id_and_a_call_of_no_input_are_answered(
    embedder: EmbeddingEngine,
) -> None:
    assert len(await embedder.embed([(2000,)])) == 1
    assert await embedder.embed([]) == []


async def test_calls_at_the_same_time_each_get_their_own(embedder: EmbeddingEngine) -> None:
    calls = [SENTENCES[start : start + 1 + start % 7] for start in range(48)]
    answers = await asyncio.gather(*(embedder.embed_texts(texts) for texts in calls))
    whole = await embedder.embed_texts(SENTENCES[:64])
    for start, vectors in enumerate(answers):
        expected = whole[start : start + len(vectors)]
        assert len(vectors) == 1 + start % 7
        assert cosines(vectors, expected).min() > SAME


async def test_calls_of_the_same_id_do_not_disturb_each_other(embedder: EmbeddingEngine) -> None:
    inputs = [[embedder.ids(text)] for text in SENTENCES[:4]]
    answers = await asyncio.gather(*(embedder.backend.embed("same", each) for each in inputs))
    expected = await embedder.embed_texts(SENTENCES[:4])
    assert cosines([vectors[0] for vectors in answers], expected).min() > SAME


async def test_a_cancelled_call_ends_and_others_go_on(embedder: EmbeddingEngine) -> None:
    long = "many words that take a while to compute " * 24
    cancelled = asyncio.create_task(embedder.embed_texts([long] * 256))
    other = asyncio.create_task(embedder.embed_texts(SENTENCES[:3]))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert len(await other) == 3
    assert len(await embedder.embed_texts(["and then"])) == 1


async def test_a_backend_that_was_not_started_has_nothing(fresh: EmbeddingEngine) -> None:
    with pytest.raises(EngineUnavailable):
        _ = fresh.backend.card
    with pytest.raises(EngineUnavailable):
        _ = fresh.backend.encoder
    with pytest.raises(EngineUnavailable):
        await fresh.backend.embed("x", [(1,)])
    with pytest.raises(EngineUnavailable):
        await fresh.backend.wait_failed()
    await fresh.backend.close()


async def test_closing_while_it_loads_ends_the_load_and_leaves_nothing(
    fresh: EmbeddingEngine,
) -> None:
    before, running = descendants(), threads()
    has_begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def report(_: LoadProgress) -> None:
        loop.call_soon_threadsafe(has_begun.set)

    start = asyncio.create_task(fresh.backend.start(report))
    await has_begun.wait()
    await fresh.backend.close()
    with pytest.raises(JarvisError):
        await start
    assert descendants().items() <= before.items()
    assert threads() <= running


@pytest.mark.parametrize(
    "fresh", ["llama", pytest.param("vllm", marks=pytest.mark.long)], indirect=True
)
async def test_closing_under_load_fails_what_runs_and_leaves_nothing(
    fresh: EmbeddingEngine,
) -> None:
    before, running = descendants(), threads()
    await fresh.backend.start(lambda _: None)
    calls = [asyncio.create_task(fresh.embed_texts(SENTENCES)) for _ in range(8)]
    await asyncio.sleep(0)
    await fresh.backend.close()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} <= {EngineFailed, list}
    assert EngineFailed in {type(answer) for answer in answers}
    with pytest.raises(EngineUnavailable):
        await fresh.backend.embed("late", [(1,)])
    await fresh.backend.close()
    assert descendants().items() <= before.items()
    assert threads() <= running


async def test_a_live_engine_has_not_failed(embedder: EmbeddingEngine) -> None:
    watch = asyncio.create_task(_watch(embedder.backend))
    await embedder.embed_texts(["a"])
    assert not watch.done()
    watch.cancel()


async def _watch(backend: EmbeddingBackend) -> None:
    await backend.wait_failed()
