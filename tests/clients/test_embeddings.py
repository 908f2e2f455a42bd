"""Embeddings through the Python clients that have them, litellm aside."""

import math
from collections.abc import Iterator, Sequence

import httpx2
import openai
import pytest
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr
from pydantic_ai import Embedder
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.questions import TOO_LONG
from tests.clients.server import API_KEY, EMBEDDING_MODEL, Served

pytestmark = pytest.mark.engine

CAT, KITTEN, SHARES = "A cat sits on a mat.", "A kitten is sitting.", "Share prices fell today."
DIMENSIONS = 384


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.openai_url, api_key=API_KEY, max_retries=0) as opened:
        yield opened


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(one, other, strict=True))


def check(vectors: Sequence[Sequence[float]]) -> None:
    """Of CAT, KITTEN and SHARES: unit vectors, of which the first two are alike."""
    cat, kitten, shares = vectors
    assert len(cat) == DIMENSIONS
    assert math.isclose(cosine(cat, cat), 1, abs_tol=1e-5)
    assert cosine(cat, kitten) > cosine(cat, shares)


def test_openai(client: openai.OpenAI) -> None:
    found = client.embeddings.create(model=EMBEDDING_MODEL, input=[CAT, KITTEN, SHARES])
    check([each.embedding for each in found.data])
    assert [each.index for each in found.data] == [0, 1, 2]
    assert found.usage.total_tokens > 3


def test_openai_gets_the_same_numbers_as_floats_and_as_base64(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model=EMBEDDING_MODEL, input=CAT).data[0].embedding
    plain = client.embeddings.create(model=EMBEDDING_MODEL, input=CAT, encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(packed, abs=1e-7)


def test_openai_asks_for_fewer_dimensions(client: openai.OpenAI) -> None:
    found = client.embeddings.create(model=EMBEDDING_MODEL, input=CAT, dimensions=64)
    cut = found.data[0].embedding
    assert len(cut) == 64
    assert math.isclose(cosine(cut, cut), 1, abs_tol=1e-5)


def test_a_text_that_is_too_long_is_a_bad_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=EMBEDDING_MODEL, input=TOO_LONG)
    assert caught.value.code == "context_length_exceeded"


def test_langchain(server: Served) -> None:
    with httpx2.Client() as http:
        embeddings = OpenAIEmbeddings(
            base_url=server.openai_url,
            api_key=SecretStr(API_KEY),
            model=EMBEDDING_MODEL,
            http_client=http,
            # Otherwise it sends ids of OpenAI's own vocabulary.
            check_embedding_ctx_length=False,
        )
        check(embeddings.embed_documents([CAT, KITTEN, SHARES]))


async def test_pydantic_ai(server: Served) -> None:
    async with openai.AsyncOpenAI(base_url=server.openai_url, api_key=API_KEY) as client:
        provider = OpenAIProvider(openai_client=client)
        embedder = Embedder(OpenAIEmbeddingModel(EMBEDDING_MODEL, provider=provider))
        result = await embedder.embed_documents([CAT, KITTEN, SHARES])
    check(result.embeddings)
