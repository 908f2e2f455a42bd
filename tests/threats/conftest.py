"""The servers that are attacked: one over a script, one over each real engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
import pytest_asyncio

from backends.embedding_delegate import EmbeddingDelegate
from backends.scripted import ScriptedBackend
from backends.scripted_embedding import ScriptedEmbedding
from core.lifecycle import EngineState
from tests.api.served_embedding import application, opening
from tests.engines import serve, settings_for
from tests.script import Memory, counting
from tests.threats.oracle import Target, canary
from tests.threats.production import as_in_production

if TYPE_CHECKING:
    from tests.engines import Engine


ALICE = "alice-s-key-which-is-long-enough-to-be-taken"
BOB = "alice-s-key-which-is-not-hers-but-bob-s-own-key"


@dataclass(frozen=True)
class Scripted(Target):
    """A server with a model for chats and one for vectors, which compute nothing."""

    backend: ScriptedBackend


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        yield client


@asynccontextmanager
async def scripted_server(**flags: str) -> AsyncIterator[Scripted]:
    """As users have it but for its model. The canary is asked with the first of the keys."""
    backend = ScriptedBackend(counting, count_cached=Memory().count_cached)
    vectors = EmbeddingDelegate("llama_cpp", opening(ScriptedEmbedding()))
    app, settings = application(vectors, backend, **flags), settings_for("llama_cpp", **flags)
    async with as_in_production(app, settings) as url, _client(url) as client:
        while vectors.status.state is not EngineState.READY:
            await client.get("/health")
        if "JARVIS_API_KEYS" in flags:
            first = flags["JARVIS_API_KEYS"].split(",")[0]
            client.headers["authorization"] = f"Bearer {first.rpartition('=')[2]}"
        yield Scripted(client, await canary(client), backend)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scripted_target() -> AsyncIterator[Scripted]:
    async with scripted_server() as target:
        yield target


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def keyed_target() -> AsyncIterator[Scripted]:
    async with scripted_server(JARVIS_API_KEYS=f"alice={ALICE},bob={BOB}") as target:
        yield target


@dataclass(frozen=True)
class EngineTarget(Target):
    """A server with the shipped model in a real engine."""

    engine: "Engine"


async def _engine_target(engine: "Engine", name: str) -> AsyncIterator[EngineTarget]:
    async with serve(engine.backend, name, "chatml") as url, _client(url) as client:
        yield EngineTarget(client, await canary(client), engine)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def llama_target(llama: "Engine") -> AsyncIterator[EngineTarget]:
    async for target in _engine_target(llama, "llama_cpp"):
        yield target


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def vllm_target(vllm: "Engine") -> AsyncIterator[EngineTarget]:
    async for target in _engine_target(vllm, "vllm"):
        yield target


@pytest.fixture(params=["llama", "vllm"])
def engine_target(request: pytest.FixtureRequest) -> EngineTarget:
    target: EngineTarget = request.getfixturevalue(f"{request.param}_target")
    return target
