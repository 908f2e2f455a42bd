"""Whatever a body holds, the answer is one of ours: done, or refused with a reason; no 5xx."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from fastapi import FastAPI

from backends.base import TokenRequest
from backends.embedding_delegate import EmbeddingDelegate
from backends.scripted import END_ID, ScriptedBackend
from backends.scripted_embedding import ScriptedEmbedding
from core.lifecycle import EngineState
from tests.api.example_bodies import EXAMPLES
from tests.api.mutations import as_json, mutated
from tests.api.served_embedding import application, opening
from tests.engines import listening

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(60)]

BODIES_AN_EXAMPLE = 80
_AT_ONCE = 8
_ENDS = (b"data: [DONE]", b"event: message_stop", b"response.completed", b"response.incomplete")


@dataclass(frozen=True)
class Attacked:
    """The application, a client of it, and the chat model below."""

    app: FastAPI
    client: httpx.AsyncClient
    backend: ScriptedBackend

    async def post(self, path: str, data: bytes) -> httpx.Response:
        return await self.client.post(
            path, content=data, headers={"content-type": "application/json"}
        )


def a_few_words(request: TokenRequest) -> Iterator[int]:
    """Ends by itself, so that no request without a limit takes long."""
    yield from b'<think>a</think>{"city": "Rome"}'
    yield END_ID


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attacked() -> AsyncIterator[Attacked]:
    backend = ScriptedBackend(a_few_words)
    delegate = EmbeddingDelegate("llama_cpp", opening(ScriptedEmbedding()))
    app = application(delegate, backend)
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
        while delegate.status.state is not EngineState.READY:
            await asyncio.sleep(0)
        yield Attacked(app, client, backend)


def judged(path: str, data: bytes, response: httpx.Response) -> None:
    """Fails unless the answer is one that a client can rely on."""
    told = f"{path} {data[:2000]!r} {response.status_code} {response.text[:1000]}"
    assert response.status_code < 500, told
    if response.status_code >= 400:
        assert message_of(path, response.json()), told
        assert "Traceback" not in response.text, told
        assert len(response.content) < 2000, told
    elif response.headers["content-type"].startswith("text/event-stream"):
        assert any(end in response.content for end in _ENDS), told
    else:
        assert response.json() is not None, told


def message_of(path: str, body: dict[str, Any]) -> str:
    """Of an error body with exactly the fields that the path's API has."""
    error: dict[str, Any] = body["error"]
    if path.startswith("/v1/messages"):
        assert set(body) == {"type", "error", "request_id"}
        assert set(error) == {"type", "message"}
    else:
        assert set(body) == {"error"}
        assert set(error) == {"message", "type", "param", "code"}
    message: str = error["message"]
    return message


async def test_the_examples_are_answered(attacked: Attacked) -> None:
    for path, bodies in EXAMPLES.items():
        for body in bodies:
            response = await attacked.post(path, msgspec.json.encode(body))
            assert response.status_code == 200, f"{path} {response.text}"
            judged(path, b"", response)


@pytest.mark.parametrize("path", EXAMPLES)
async def test_a_spoiled_body_is_answered_or_refused(attacked: Attacked, path: str) -> None:
    random = Random(zlib.crc32(path.encode()))
    bodies = [
        as_json(mutated(example, random), random)
        for example in EXAMPLES[path]
        for _ in range(BODIES_AN_EXAMPLE)
    ]
    next_body = iter(bodies)

    async def attack() -> None:
        for data in next_body:
            judged(path, data, await attacked.post(path, data))

    await asyncio.gather(*(attack() for _ in range(_AT_ONCE)))
    assert (await attacked.client.get("/health")).json() == {"status": "ok"}


async def test_nothing_is_left_under_way(attacked: Attacked) -> None:
    await asyncio.gather(*attacked.app.state.running)
    assert attacked.backend.num_live == 0
    assert not attacked.app.state.responses.runs._runs
