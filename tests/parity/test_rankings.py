"""Models that rank pairs give the reference implementation's scores, on the engines that can."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backends.embedding import EmbeddingBackend
from backends.embedding_conversion.bert_folder import read_bert_folder
from backends.embedding_conversion.gguf_export import write_gguf
from backends.embedding_encoder import encoder_of_json
from core.errors import ModelLoadError
from tests.cross_encoders import make_cross_encoder
from tests.embedding_engines import opened
from tests.parity.embedding_texts import SENTENCES

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

PAIRS = [(query, document) for query in SENTENCES[:4] for document in SENTENCES[4:]]
SEPARATOR = 102
# llama.cpp looks its GELU up in a table of half-precision numbers, which random weights magnify.
CLOSE = {"llama_cpp": 2e-2, "vllm": 1e-3}


async def scores(backend: EmbeddingBackend) -> list[float]:
    await backend.start(lambda _: None)
    try:
        assert backend.card.ranks_pairs
        assert not backend.card.is_normalized
        inputs = [backend.encoder.encode_pair(*pair) for pair in PAIRS]
        vectors = await backend.embed("pairs", inputs)
    finally:
        await backend.close()
    assert {vector.shape for vector in vectors} == {(1,)}
    return [float(vector[0]) for vector in vectors]


def by_transformers(folder: Path) -> list[float]:
    import torch
    from transformers import BertForSequenceClassification

    encoder = encoder_of_json((folder / "tokenizer.json").read_text())
    model = BertForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    found: list[float] = []
    for pair in PAIRS:
        ids = encoder.encode_pair(*pair)
        num_first = ids.index(SEPARATOR) + 1
        types = [0] * num_first + [model.config.type_vocab_size - 1] * (len(ids) - num_first)
        with torch.inference_mode():
            answer = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types]))
        found.append(float(answer.logits[0, 0]))
    return found


@pytest.mark.parametrize("engine", ["llama_cpp", pytest.param("vllm", marks=pytest.mark.long)])
async def test_an_engine_scores_pairs_as_the_reference_does(
    engine: str, cache: Path, tmp_path: Path
) -> None:
    folder = make_cross_encoder(tmp_path / "one-type", num_token_types=1)
    gguf = tmp_path / "one-type.gguf"
    write_gguf(read_bert_folder(folder), gguf)
    expected = by_transformers(folder)
    assert np.std(expected) > 0.1, "the scores tell pairs apart"
    path = folder if engine == "llama_cpp" else gguf
    found = await scores(opened(engine, path, cache))
    np.testing.assert_allclose(found, expected, atol=CLOSE[engine])


@pytest.mark.long
async def test_token_types_count_where_the_model_has_them(cache: Path, tmp_path: Path) -> None:
    folder = make_cross_encoder(tmp_path / "two-types", num_token_types=2)
    found = await scores(opened("vllm", folder, cache))
    np.testing.assert_allclose(found, by_transformers(folder), atol=CLOSE["vllm"])
    with pytest.raises(ModelLoadError, match="token types"):
        read_bert_folder(folder)


async def test_llama_cpp_refuses_a_model_whose_token_types_it_would_leave_out(
    cache: Path, tmp_path: Path
) -> None:
    folder = read_bert_folder(make_cross_encoder(tmp_path / "one-type", num_token_types=1))
    types = make_cross_encoder(tmp_path / "two-types", num_token_types=2)
    gguf = tmp_path / "two-types.gguf"
    # As other converters write it.
    other = replace(
        folder,
        path=types,
        config={**folder.config, "type_vocab_size": 2},
    )
    write_gguf(other, gguf)
    backend = opened("llama_cpp", gguf, cache)
    with pytest.raises(ModelLoadError, match="by token types"):
        await backend.start(lambda _: None)
    await backend.close()
