"""Both engines make the same vectors of the same text, and those that the model's authors meant."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from backends.embedding import EmbeddingCard
from core.errors import ContextLengthExceeded
from core.lifecycle import LoadProgress
from tests.embedding_engines import (
    WINDOW,
    EmbeddingEngine,
    cosines,
    minilm_folder,
    minilm_gguf,
    opened,
)
from tests.parity.embedding_texts import hostile, sentences

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

NUM_TEXTS = 200
NUM_REFERENCE = 20
# llama.cpp looks its GELU up in a table of half-precision numbers; vLLM computes it.
BETWEEN_ENGINES = 0.99999
TO_THE_REFERENCE = 0.99999
SPECIAL = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")


async def test_the_engines_vectors_of_200_texts_point_the_same_way(
    llama_embedder: EmbeddingEngine, vllm_embedder: EmbeddingEngine
) -> None:
    texts = sentences(NUM_TEXTS)
    assert len(set(texts)) > NUM_TEXTS * 0.9
    found = cosines(await llama_embedder.embed_texts(texts), await vllm_embedder.embed_texts(texts))
    print(f"minimum cosine of {len(texts)} texts: {found.min():.8f}")
    assert found.min() >= BETWEEN_ENGINES, texts[int(found.argmin())]


@pytest.mark.long
async def test_either_engine_serves_the_others_form_of_the_model_as_its_own(
    cache: Path, tmp_path: Path, llama_embedder: EmbeddingEngine, vllm_embedder: EmbeddingEngine
) -> None:
    texts = sentences(NUM_TEXTS)
    ids = [llama_embedder.ids(text) for text in texts]
    own = {each.kind: await each.embed(ids) for each in (llama_embedder, vllm_embedder)}
    swapped = {
        "llama": (opened("llama_cpp", minilm_folder(), tmp_path), vllm_embedder),
        "vllm": (opened("vllm", minilm_gguf(cache), tmp_path), llama_embedder),
    }
    for kind, (backend, given_the_same) in swapped.items():
        reports: list[LoadProgress] = []
        await backend.start(reports.append)
        engine = EmbeddingEngine(kind, backend)
        vectors = await engine.embed_texts(texts)
        assert any(each.step.startswith("converting all-MiniLM-L6-v2") for each in reports)
        assert [engine.ids(text) for text in texts] == ids
        for name, expected in own.items():
            found = cosines(vectors, expected)
            print(f"{kind} with the other's form, {name} with its own: {found.min():.8f}")
            assert found.min() >= BETWEEN_ENGINES, texts[int(found.argmin())]
        assert_same_card(backend.card, given_the_same.backend.card)
        assert backend.card.weights_digest == given_the_same.backend.card.weights_digest
        assert backend.card.name == given_the_same.backend.card.name
        with pytest.raises(ContextLengthExceeded):
            await engine.embed([(2000,) * (WINDOW + 1)])
        await backend.close()


def assert_same_card(one: EmbeddingCard, other: EmbeddingCard) -> None:
    for fact in ("num_dimensions", "context_window", "vocabulary_size", "is_normalized"):
        assert getattr(one, fact) == getattr(other, fact), fact


async def test_the_cards_agree_where_clients_see_it(
    llama_embedder: EmbeddingEngine, vllm_embedder: EmbeddingEngine
) -> None:
    assert_same_card(llama_embedder.backend.card, vllm_embedder.backend.card)


async def test_both_encoders_give_the_ids_of_the_models_own_tokenizer(
    llama_embedder: EmbeddingEngine, vllm_embedder: EmbeddingEngine
) -> None:
    from tokenizers import Tokenizer

    own = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    own.no_truncation()
    own.no_padding()
    texts = [*sentences(NUM_TEXTS), *hostile(2000)]
    for text in texts:
        expected = tuple(own.encode(text).ids)
        assert llama_embedder.ids(text) == expected, repr(text)
        assert vllm_embedder.ids(text) == expected, repr(text)
    for one, other in zip(texts[:400], texts[-400:], strict=True):
        pair = tuple(own.encode(one, other).ids)
        assert llama_embedder.backend.encoder.encode_pair(one, other) == pair
        assert vllm_embedder.backend.encoder.encode_pair(one, other) == pair


async def test_spelled_special_tokens_are_text_to_both_encoders(
    llama_embedder: EmbeddingEngine, vllm_embedder: EmbeddingEngine
) -> None:
    cls, sep = llama_embedder.ids("")
    for token in SPECIAL:
        text = f"before {token} after{token}"
        ids = llama_embedder.ids(text)
        assert ids == vllm_embedder.ids(text)
        assert (ids[0], ids[-1]) == (cls, sep)
        assert not {cls, sep, 0, 100, 103} & set(ids[1:-1])


async def test_a_lone_surrogate_is_a_question_mark_to_both_encoders(
    llama_embedder: EmbeddingEngine, vllm_embedder: EmbeddingEngine
) -> None:
    for engine in (llama_embedder, vllm_embedder):
        assert engine.ids("a \ud800 b") == engine.ids("a ? b")


async def test_both_engines_agree_with_the_reference_implementation(
    llama_embedder: EmbeddingEngine, vllm_embedder: EmbeddingEngine
) -> None:
    texts = sentences(NUM_REFERENCE)
    expected = _by_transformers([llama_embedder.ids(text) for text in texts])
    for engine in (llama_embedder, vllm_embedder):
        found = cosines(await engine.embed_texts(texts), list(expected))
        print(f"{engine.kind}: minimum cosine to the reference {found.min():.8f}")
        assert found.min() >= TO_THE_REFERENCE, texts[int(found.argmin())]


def _by_transformers(inputs: Sequence[tuple[int, ...]]) -> NDArray[np.float32]:
    """The mean of the last hidden states, each input by itself."""
    import torch
    from transformers import BertModel

    model = BertModel.from_pretrained(minilm_folder(), local_files_only=True).eval()
    with torch.inference_mode():
        pooled = [
            model(input_ids=torch.tensor([each])).last_hidden_state[0].mean(dim=0).numpy()
            for each in inputs
        ]
    vectors: NDArray[np.float32] = np.stack(pooled)
    return vectors
