"""The servers that get spoiled requests: over a script, and over llama.cpp."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from backends.base import Backend, TokenRequest, TokenStep
from backends.embedding_delegate import EmbeddingDelegate
from backends.scripted import END_ID, ScriptedBackend
from backends.scripted_embedding import ScriptedEmbedding
from core.lifecycle import EngineState
from tests.api.served_embedding import application, opening
from tests.engines import StartedBackend, settings_for
from tests.threats.production import as_in_production

if TYPE_CHECKING:
    from tests.engines import Engine

MOST_TOKENS = 24
# A request that is not whole is soon answered with 408.
FLAGS = {"JARVIS_HEADER_TIMEOUT_S": "1", "JARVIS_BODY_TIMEOUT_S": "1"}


@dataclass(frozen=True)
class Attacked:
    """A server, and how many of its sequences are under way."""

    app: FastAPI
    client: httpx.AsyncClient
    scripted: ScriptedBackend | None = None

    @property
    def url(self) -> str:
        return str(self.client.base_url)

    @property
    def port(self) -> int:
        port = self.client.base_url.port
        assert port is not None
        return port

    async def is_idle(self) -> None:
        """Waits until nothing is under way any more; the test's time limit bounds it."""
        await asyncio.gather(*self.app.state.running)
        while self.scripted is not None and self.scripted.num_live:
            await asyncio.sleep(0)


class ShortAnswers(StartedBackend):
    """An engine whose answers end soon, so that no spoiled request takes long."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.generate = self._generate
        self._inner = backend

    async def _generate(self, request: TokenRequest) -> AsyncGenerator[TokenStep, None]:
        short = replace(request, max_tokens=min(request.max_tokens, MOST_TOKENS))
        async for step in self._inner.generate(short):
            yield step


def a_few_words(_: TokenRequest) -> Iterator[int]:
    yield from b'<think>a</think>{"city": "Rome"}'
    yield END_ID


@asynccontextmanager
async def _attacked(chat: Backend) -> AsyncIterator[Attacked]:
    vectors = EmbeddingDelegate("llama_cpp", opening(ScriptedEmbedding()))
    app, settings = application(vectors, chat, **FLAGS), settings_for("llama_cpp", **FLAGS)
    async with (
        as_in_production(app, settings) as url,
        httpx.AsyncClient(base_url=url, timeout=60) as client,
    ):
        while vectors.status.state is not EngineState.READY:
            await asyncio.sleep(0)
        yield Attacked(app, client, chat if isinstance(chat, ScriptedBackend) else None)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scripted_attacked() -> AsyncIterator[Attacked]:
    async with _attacked(ScriptedBackend(a_few_words)) as attacked:
        yield attacked


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def llama_attacked(llama: "Engine") -> AsyncIterator[Attacked]:
    async with _attacked(ShortAnswers(llama.backend)) as attacked:
        yield attacked


@pytest.fixture(params=["scripted", pytest.param("llama", marks=pytest.mark.engine)])
def attacked(request: pytest.FixtureRequest) -> Attacked:
    found: Attacked = request.getfixturevalue(f"{request.param}_attacked")
    return found


@pytest.fixture
def num_spoiled(attacked: Attacked, num_requests: int) -> int:
    """A real engine gets a fifth of what a script gets."""
    return num_requests if attacked.scripted else num_requests // 5
