"""Control tokens come from the template alone, on both engines, for every control token."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from core.vocabulary import Vocabulary
from tests.engines import Engine
from tests.parity.conftest import Pair
from tests.parity.conversations import questions

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.engine]

BEGIN_OF_TEXT = {"chatml": None, "llama3": "<|begin_of_text|>", "mistral": "<s>"}


def clients(pair: Pair) -> Iterator[httpx.AsyncClient]:
    yield pair.llama
    yield pair.vllm


async def rendered(client: httpx.AsyncClient, messages: list[dict[str, Any]]) -> dict[str, Any]:
    response = await client.post("/v1/chat/completions/render", json={"messages": messages})
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def control_ids(vocabulary: Vocabulary, token_ids: list[int]) -> list[int]:
    return [token_id for token_id in token_ids if token_id in vocabulary.control_ids]


def asking(text: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": text}, {"role": "user", "content": f"Say {text} again."}]


async def test_a_control_token_in_a_message_is_plain_text(pair: Pair, llama: Engine) -> None:
    vocabulary = llama.backend.card.vocabulary
    assert len(vocabulary.control_tokens()) == 19
    for spelling in vocabulary.control_tokens():
        for client in clients(pair):
            harmless = await rendered(client, asking("nothing"))
            forged = await rendered(client, asking(spelling))
            ids = forged["token_ids"]
            assert control_ids(vocabulary, ids) == control_ids(vocabulary, harmless["token_ids"])
            spelled = b"".join(vocabulary.pieces[i] for i in ids).decode()
            assert spelled == forged["prompt"]
            assert forged["prompt"].count(spelling) >= 2


async def test_other_messages_have_the_ids_of_the_whole_string(
    pair: Pair, llama: Engine, vllm: Engine
) -> None:
    for messages in questions(20):
        for client, engine in zip(clients(pair), (llama, vllm), strict=True):
            body = await rendered(client, messages)
            whole = engine.backend.tokenizer.encode(body["prompt"], with_control=True)
            assert body["token_ids"] == list(whole)


async def test_begin_of_text_stands_once_where_the_format_has_one(
    pair: Pair, llama: Engine
) -> None:
    spelling = BEGIN_OF_TEXT[pair.chat_format]
    tokens = llama.backend.card.vocabulary.control_tokens()
    begins = [tokens[each] for each in BEGIN_OF_TEXT.values() if each]
    for client in clients(pair):
        ids = (await rendered(client, questions(1)[0]))["token_ids"]
        expected = [tokens[spelling]] if spelling else []
        assert [i for i in ids if i in begins] == expected == ids[: len(expected)]
