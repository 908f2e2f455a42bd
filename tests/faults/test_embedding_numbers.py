"""Embedding models whose weights are no numbers: real ones, read by both engines without a word."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from backends.embedding_conversion.safetensors_file import stored_tensors
from core.errors import EngineFailed
from tests.backends.model_checks.gguf_files import uint32, with_metadata
from tests.cross_encoders import make_cross_encoder
from tests.embedding_engines import EmbeddingEngine, minilm_folder, opened

# vllm and what it imports warn of each other's future, which is not ours to mend.
pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.engine,
    pytest.mark.long,
    pytest.mark.filterwarnings("default"),
]
BROKEN_ID = 4000
POOLS_LAST = uint32(3)
GOOD = [(101, 2000 + i, 3000, 102) for i in range(5)]
BAD = (101, 2000, BROKEN_ID, 3000, 102)


def vectors_of(folder: Path) -> Path:
    shutil.copytree(minilm_folder(), folder)
    return folder


def scores_of(folder: Path) -> Path:
    return make_cross_encoder(folder, num_token_types=1)


def breaking(folder: Path) -> Path:
    """Only inputs with BROKEN_ID meet the broken row."""
    (name,) = (each for each in stored_tensors(folder) if "word_embeddings" in each)
    tensor = stored_tensors(folder)[name]
    row_bytes = 4 * tensor.shape[1]
    assert tensor.format == "F32"
    with tensor.file.open("r+b") as opened_file:
        opened_file.seek(tensor.offset + BROKEN_ID * row_bytes)
        opened_file.write(np.full(tensor.shape[1], np.nan, "<f4").tobytes())
    return folder


async def outcome(engine: EmbeddingEngine, *inputs: tuple[int, ...]) -> str | list[float]:
    try:
        vectors = await engine.embed(inputs)
    except EngineFailed as error:
        return str(error)
    return [float(number) for vector in vectors for number in vector]


async def answers(engine: EmbeddingEngine, kind: str) -> None:
    """Of calls beside broken ones and after them, each is what it is alone."""
    alone = [await outcome(engine, each) for each in GOOD]
    failure = f"the model's numbers leave no {kind}: some are nan"
    for _ in range(3):
        calls = [outcome(engine, each) for each in GOOD]
        broken = [outcome(engine, BAD), outcome(engine, GOOD[0], BAD, GOOD[1], BAD)]
        found = await asyncio.gather(*calls[:2], *broken, *calls[2:])
        assert found[2:4] == [failure] * 2
        for vector, expected in zip(found[:2] + found[4:], alone, strict=True):
            np.testing.assert_allclose(np.array(vector), np.array(expected), atol=1e-5)
        assert await outcome(engine, BAD) == failure
        assert await outcome(engine, GOOD[0]) == alone[0]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine_kind", ["llama_cpp", "vllm"])
@pytest.mark.parametrize(("make", "kind"), [(vectors_of, "vector"), (scores_of, "score")])
async def test_vectors_that_are_no_numbers_end_their_call_alone(
    engine_kind: str,
    make: Callable[[Path], Path],
    kind: str,
    tmp_path: Path,
    cache: Path,
) -> None:
    folder = breaking(make(tmp_path / "broken"))
    engine = EmbeddingEngine(engine_kind, opened(engine_kind, folder, cache))
    await engine.backend.start(lambda _: None)
    await answers(engine, kind)
    await engine.backend.close()


async def test_what_is_left_of_a_call_that_failed_is_not_computed(
    tmp_path: Path, cache: Path
) -> None:
    backend = opened("llama_cpp", breaking(scores_of(tmp_path / "broken")), cache)
    engine = EmbeddingEngine("llama_cpp", backend)
    await backend.start(lambda _: None)
    assert "leave no score" in str(await outcome(engine, BAD, *(GOOD[:1] * 1000)))
    before = backend.num_steps
    assert len(await outcome(engine, *(GOOD[:1] * 320))) == 320
    # 32 inputs a batch; what is left of the other call would take half of each.
    assert backend.num_steps - before <= 12
    await backend.close()


async def test_nor_do_they_stay_in_what_a_model_keeps_between_its_batches(
    tmp_path: Path, cache: Path
) -> None:
    path = with_metadata(tmp_path / "writer.gguf", llama__pooling_type=POOLS_LAST)
    (weights,) = (
        each for each in GGUFReader(path, "r+").tensors if each.name == "token_embd.weight"
    )
    weights.data[BROKEN_ID] = np.nan
    engine = EmbeddingEngine("llama_cpp", opened("llama_cpp", path, cache))
    await engine.backend.start(lambda _: None)
    await answers(engine, "vector")
    await engine.backend.close()
